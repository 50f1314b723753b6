// SPDX-License-Identifier: Apache-2.0

//! Many streams of one client through a link that is slower than its socket and has a short queue.
//!
//! The rule: what is asserted is what services see: a link that is used, few losses, equal shares, and short waits for those who ask for
//! little.

use super::stage::{Ends, Stage};
use bach::{ext::*, time::Instant};
use s2n_quic_dc::stream::metrics::Metrics;
use s2n_quic_dc_tests::sim::{
    network::{Counts, Fate, Node, Way},
    peer::{Endpoint, Socket},
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

/// Of the bottleneck; the client's own link is ten times as fast
const BYTES_PER_SECOND: u64 = 125_000_000;
const STEP: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug)]
struct Bottleneck {
    streams: usize,
    /// Each way
    delay: Duration,
    /// In bytes
    queue: u64,
    runs_for: Duration,
}

/// Bytes that each stream has received in each [`STEP`]
type Progress = Arc<Mutex<Vec<Vec<u64>>>>;

#[derive(Debug)]
struct Report {
    counts: Counts,
    /// As a share of what the link can carry
    busy: f64,
    /// The smallest index of any second
    fairness: f64,
    /// Of calls while nothing else was on the link, and beside the streams
    unloaded: Duration,
    loaded: Vec<Duration>,
    client: Metrics,
}

/// R. Jain, D. Chiu and W. Hawe, "A Quantitative Measure of Fairness", 1984
fn jain(shares: &[u64]) -> f64 {
    let sum: f64 = shares.iter().map(|share| *share as f64).sum();
    let squares: f64 = shares.iter().map(|share| (*share as f64).powi(2)).sum();
    sum * sum / (shares.len() as f64 * squares)
}

impl Bottleneck {
    fn run(self) -> Report {
        let delay = Node::Delay(self.delay);
        let rate = |factor, queue| Node::Rate {
            bytes_per_second: BYTES_PER_SECOND * factor,
            queue,
        };
        let stage = Stage {
            to_server: vec![rate(10, 64 << 20), rate(1, self.queue), delay],
            to_client: vec![delay],
            client: Socket::default(),
        };
        stage.play(move |ends| self.direct(ends))
    }

    async fn direct(self, ends: Ends) -> Report {
        let Ends {
            network,
            client,
            server,
        } = ends;
        let progress = Progress::default();
        serve(server.clone(), progress.clone()).spawn_named("accept");

        call(&client, &server).await;
        let unloaded = call(&client, &server).await;

        let (start, before) = (Instant::now(), network.counts(Way::ToServer));
        let steps = start.elapsed_since_start();
        for stream in 0..self.streams {
            let (client, server) = (client.clone(), server.clone());
            upload(client, server, start + self.runs_for)
                .spawn_named(format_args!("upload/{stream}"));
        }
        let mut loaded = Vec::new();
        // the window is being found until then
        bach::time::sleep(STEP).await;
        while start.elapsed() < self.runs_for {
            bach::time::sleep(Duration::from_millis(20)).await;
            loaded.push(call(&client, &server).await);
        }
        let (end, after) = (
            Instant::now().elapsed_since_start(),
            network.counts(Way::ToServer),
        );
        let delivered: u64 = network
            .trace()
            .iter()
            .filter(|record| record.destination == server.addr())
            .filter(|record| matches!(record.fate, Fate::Arrives(at) if (steps..end).contains(&at)))
            .map(|record| record.len as u64 + 28)
            .sum();
        let first = steps.as_millis() / STEP.as_millis() + 1;
        let fairness = smallest_fairness(&progress.lock().unwrap(), first as usize, self);
        Report {
            counts: Counts {
                sent: after.sent - before.sent,
                delivered: after.delivered - before.delivered,
                lost: after.lost - before.lost,
                overflowed: after.overflowed - before.overflowed,
                ..Counts::default()
            },
            busy: delivered as f64 / (BYTES_PER_SECOND as f64 * (end - steps).as_secs_f64()),
            fairness,
            unloaded,
            loaded,
            client: client.metrics().unwrap(),
        }
    }
}

/// Over every second that begins with a step
fn smallest_fairness(progress: &[Vec<u64>], first: usize, bottleneck: Bottleneck) -> f64 {
    assert_eq!(progress.len(), bottleneck.streams);
    let second = (1000 / STEP.as_millis()) as usize;
    let last = first + (bottleneck.runs_for.as_millis() / STEP.as_millis()) as usize;
    let at = |stream: &[u64], step: usize| stream.get(step).copied().unwrap_or(0);
    (first..last - second)
        .map(|start| {
            let shares: Vec<u64> = progress
                .iter()
                .map(|stream| (start..start + second).map(|step| at(stream, step)).sum())
                .collect();
            jain(&shares)
        })
        .fold(1.0, f64::min)
}

/// A kilobyte there and back, on a stream of its own
async fn call(client: &Endpoint, server: &Endpoint) -> Duration {
    let start = Instant::now();
    let mut stream = client.connect(server.addr()).await.unwrap();
    let request = [CALL; 1000];
    stream.write_all_from_fin(&mut &request[..]).await.unwrap();
    let mut response = Vec::<u8>::new();
    while stream.read_into(&mut response).await.unwrap() > 0 {}
    assert_eq!(response, request);
    start.elapsed()
}

async fn upload(client: Endpoint, server: Endpoint, until: Instant) {
    let mut stream = client.connect(server.addr()).await.unwrap();
    let bytes = vec![UPLOAD; 1 << 16];
    while Instant::now() < until {
        stream.write_all_from(&mut &bytes[..]).await.unwrap();
    }
}

const CALL: u8 = 1;
const UPLOAD: u8 = 2;

async fn serve(server: Endpoint, progress: Progress) {
    while let Ok(mut stream) = server.accept().await {
        let progress = progress.clone();
        async move {
            let mut bytes = Vec::<u8>::new();
            let mut index = None;
            loop {
                let len = stream.read_into(&mut bytes).await.unwrap();
                if len == 0 {
                    break;
                }
                if bytes[0] != UPLOAD {
                    continue;
                }
                bytes.truncate(1);
                let mut progress = progress.lock().unwrap();
                let index = *index.get_or_insert_with(|| {
                    progress.push(Vec::new());
                    progress.len() - 1
                });
                let now = Instant::now().elapsed_since_start();
                let step = (now.as_millis() / STEP.as_millis()) as usize;
                let steps = &mut progress[index];
                if steps.len() <= step {
                    steps.resize(step + 1, 0);
                }
                steps[step] += len as u64;
            }
            if bytes[0] == CALL {
                stream.write_all_from_fin(&mut &bytes[..]).await.unwrap();
            }
        }
        .spawn_named("serve");
    }
}

#[test]
fn many_streams_use_a_bottleneck_and_share_it() {
    for streams in [1, 10, 100] {
        let bottleneck = Bottleneck {
            streams,
            delay: Duration::from_micros(500),
            // half of what is on the way
            queue: 62_500,
            runs_for: Duration::from_secs(2),
        };
        let report = bottleneck.run();
        // a queue that never overflows would not be a bottleneck
        assert!(report.counts.overflowed > 0, "{bottleneck:?} {report:#?}");
        let lost = report.counts.overflowed as f64 / report.counts.sent as f64;
        assert!(lost < 0.01, "{lost}: {bottleneck:?} {report:#?}");
        assert!(report.busy >= 0.95, "{bottleneck:?} {report:#?}");
        assert!(report.fairness >= 0.95, "{bottleneck:?} {report:#?}");
        assert!(report.loaded.len() > 80, "{bottleneck:?} {report:#?}");
        let slowest = report.loaded.iter().max().unwrap();
        assert!(
            *slowest <= 5 * report.unloaded,
            "{bottleneck:?} {report:#?}"
        );
        assert_eq!(report.client.spurious_losses, 0);
    }
}
