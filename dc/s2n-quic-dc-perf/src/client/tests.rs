// SPDX-License-Identifier: Apache-2.0

//! Client and server against each other, over a real handshake on loopback.

use super::*;
use crate::{
    pattern::{seed, Fault, Pattern},
    report::Progress,
    server,
    size::Size,
    workload::{self, Workload},
};
use std::{future::Future, sync::Arc, time::Duration};
use tokio::runtime::Builder;

/// Runs `test` with a server that serves, and drops the ends outside of the runtime.
fn with_ends<F: Future<Output = ()>>(test: impl FnOnce(Arc<Loopback>) -> F) {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let ends = Arc::new(runtime.block_on(Loopback::start()).unwrap());
    runtime.block_on(async {
        let server = tokio::spawn(server::serve(ends.server().clone()));
        test(ends.clone()).await;
        assert!(!server.is_finished());
    });
    drop(runtime);
}

fn request(direction: Direction, length: u64) -> Request {
    Request {
        direction,
        seed: seed(1),
        length,
    }
}

#[test]
fn lengths_around_the_size_of_the_buffer_arrive_whole_both_ways() {
    with_ends(|ends| async move {
        let buffer = 4096;
        for direction in [Direction::Upload, Direction::Download] {
            for length in [1, 4078, 4079, 4080, 4096, 4097, 300_001] {
                let request = request(direction, length);
                let mut moved = 0;
                let outcome = transfer(&ends, &request, buffer, |bytes| moved += bytes).await;
                outcome.unwrap_or_else(|error| panic!("{direction} of {length}: {error}"));
                assert_eq!(moved, length);
            }
        }
    });
}

#[test]
fn a_workload_verifies_every_stream_and_counts_all_bytes() {
    with_ends(|ends| async move {
        for direction in [Direction::Upload, Direction::Download] {
            let workload = Workload {
                streams: 20,
                size: Size::new(100_000).unwrap(),
                direction,
            };
            let timeout = Duration::from_secs(60);
            let outcome = workload::run(&ends, workload, 0, timeout, &mut Progress::quiet()).await;
            assert_eq!(outcome.failures.streams(), 0, "{}", outcome.failures);
            assert_eq!(outcome.verified, 20 * 100_000);
        }
    });
}

#[test]
fn streams_that_are_not_finished_in_time_have_failed() {
    with_ends(|ends| async move {
        let workload = Workload {
            streams: 3,
            size: Size::new(Size::MAX).unwrap(),
            direction: Direction::Upload,
        };
        let timeout = Duration::from_secs(1);
        let outcome = workload::run(&ends, workload, 0, timeout, &mut Progress::quiet()).await;
        assert_eq!(outcome.failures.streams(), 3);
        assert_eq!(outcome.verified, 0);
        let text = outcome.failures.to_string();
        assert!(text.contains("3 x not finished after 1 s"), "{text}");
    });
}

/// Uploads `data` under a request for 10 000 bytes, and returns the server's verdict.
async fn upload(ends: &Loopback, data: &[u8]) -> Result<(), Failure> {
    let request = request(Direction::Upload, 10_000);
    let mut stream = ends.connect().await.map_err(Failure::Connect)?;
    let bytes = [&request.encode(), data].concat();
    let mut bytes = &bytes[..];
    stream
        .write_all_from_fin(&mut bytes)
        .await
        .map_err(Failure::Write)?;
    check_verdict(&mut stream, &request).await
}

#[test]
fn the_server_says_what_is_wrong_with_an_upload() {
    with_ends(|ends| async move {
        let mut data = vec![0; 10_000];
        Pattern::new(seed(1)).fill(0, &mut data);
        assert!(upload(&ends, &data).await.is_ok());

        let short = upload(&ends, &data[..9_999]).await;
        assert!(matches!(
            short,
            Err(Failure::Upload(Fault::Short { received: 9_999 }))
        ));

        let long = upload(&ends, &[&data[..], &[0]].concat()).await;
        assert!(matches!(
            long,
            Err(Failure::Upload(Fault::Long { received: 10_001 }))
        ));

        data[5_000] ^= 0x80;
        let wrong = upload(&ends, &data).await;
        assert!(matches!(
            wrong,
            Err(Failure::Upload(Fault::Content { at: 5_000 }))
        ));
    });
}

#[test]
fn a_request_that_makes_no_sense_fails_its_stream_and_no_other() {
    with_ends(|ends| async move {
        let mut stream = ends.connect().await.unwrap();
        let mut bytes = &[0xff; Request::LEN][..];
        stream.write_all_from_fin(&mut bytes).await.unwrap();
        let request = request(Direction::Upload, 10_000);
        assert!(check_verdict(&mut stream, &request).await.is_err());

        let mut data = vec![0; 10_000];
        Pattern::new(seed(1)).fill(0, &mut data);
        assert!(upload(&ends, &data).await.is_ok());
    });
}
