// SPDX-License-Identifier: Apache-2.0

//! Streams end to end, in simulation: one file per subject.
//!
//! The one rule: what is asserted is seen on the network, in the metrics or by the application, not inside a state machine.

#![allow(clippy::unwrap_used)]

use super::{
    shared::Shared,
    testing::{
        network::{Data, Fate, Kind, Sent, Side},
        pattern, Agreement, Dice, End, Join, Options, Pair, Stream,
    },
};
use crate::socket::pool::{self, Class, Purpose, Unfilled};
use core::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};
use std::{
    io,
    sync::{Arc, Weak},
};

mod acknowledgement;
mod answer;
mod backpressure;
mod company;
mod completion;
mod crowding;
mod failure;
mod letterbox;
mod memory;
mod metrics;
mod over;
mod receipt;
mod recovery;
mod silence;
mod socket_error;
mod succession;
mod transfer;
mod turns;
mod wakes;
mod wheel;
mod window;

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

/// The streams of both ends, to see them go
fn watch(pair: &Pair, queue_id: u64) -> [Weak<Shared>; 2] {
    [&pair.client, &pair.server].map(|end| Arc::downgrade(&end.core.stream(queue_id).unwrap()))
}

/// Reads to the end
async fn read_all(stream: &mut Stream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while stream.read_into(&mut bytes).await? > 0 {}
    Ok(bytes)
}

/// Writes all of `bytes` and the end
async fn write_all(stream: &mut Stream, bytes: &[u8]) -> io::Result<()> {
    let mut bytes = bytes;
    stream.write_all_from_fin(&mut bytes).await.map(drop)
}

/// A path that is short, as in a rack
fn near() -> Options {
    Options {
        delay: MILLISECOND / 10,
        ..Options::default()
    }
}

/// Has the client write `len` bytes to each of four streams, and the server read them
fn bulk(pair: &mut Pair, len: usize) -> Vec<Join<io::Result<Vec<u8>>>> {
    uploads(pair, 4, len)
}

/// The same of `count` streams
fn uploads(pair: &mut Pair, count: usize, len: usize) -> Vec<Join<io::Result<Vec<u8>>>> {
    let streams: Vec<_> = (0..count).map(|_| pair.connect()).collect();
    let read = |(mut client, mut server): (Stream, Stream)| {
        pair.spawn("write", async move {
            write_all(&mut client, &pattern(len, 1)).await
        });
        pair.spawn("read", async move { read_all(&mut server).await })
    };
    streams.into_iter().map(read).collect()
}

/// Has the application at one end write `bytes` and read to the end, both at once
fn exchange(pair: &mut Pair, stream: Stream, bytes: Vec<u8>) -> Join<io::Result<Vec<u8>>> {
    let (mut reader, mut writer) = stream.into_split();
    let writing = pair.spawn("write", async move {
        let mut bytes = &bytes[..];
        writer.write_all_from_fin(&mut bytes).await
    });
    pair.spawn("read", async move {
        let mut bytes = Vec::new();
        while reader.read_into(&mut bytes).await? > 0 {}
        writing.await?;
        Ok(bytes)
    })
}

/// Drops of `percent` of a hundred datagrams each way
fn lossy(percent: u64, seed: u64) -> impl FnMut(&Sent) -> Fate {
    let mut dice = [Dice(seed), Dice(!seed)];
    move |sent| {
        if dice[sent.side as usize].percent(percent) {
            Fate::Drop
        } else {
            Fate::Deliver
        }
    }
}

/// Drops the first `count` datagrams for which `f` holds
fn drop_first(count: usize, f: impl Fn(&Sent) -> bool + Send) -> impl FnMut(&Sent) -> Fate + Send {
    let mut left = count;
    move |sent| {
        if left > 0 && f(sent) {
            left -= 1;
            return Fate::Drop;
        }
        Fate::Deliver
    }
}

/// Takes all that data may have of a pool
fn exhaust(end: &End) -> Vec<Unfilled> {
    let mut held = Vec::new();
    for class in [Class::Burst, Class::Packet] {
        while let Some(descriptor) = end.core.pool.alloc(class, Purpose::Data) {
            held.push(descriptor);
        }
    }
    held
}

/// One poll, as the application's thread would do it: no worker runs meanwhile
fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Writes `bytes` in one poll and returns how many were taken
fn write_now(stream: &mut Stream, mut bytes: &[u8]) -> usize {
    match poll_once(stream.write_from(&mut bytes)) {
        Poll::Ready(result) => result.unwrap(),
        Poll::Pending => 0,
    }
}

/// The same, and says that nothing follows, in as many polls as it takes without waiting
fn end_now(stream: &mut Stream, mut bytes: &[u8]) -> usize {
    let len = bytes.len();
    while !bytes.is_empty() {
        match poll_once(stream.write_from_fin(&mut bytes)) {
            Poll::Ready(result) => result.unwrap(),
            Poll::Pending => break,
        };
    }
    len - bytes.len()
}

fn data_of(sent: &[Sent]) -> Vec<Data> {
    sent.iter().filter_map(|sent| sent.kind.data()).collect()
}

/// Says what the next stream says
async fn echo(accepting: impl Future<Output = io::Result<Stream>>) -> io::Result<usize> {
    let mut server = accepting.await?;
    let request = read_all(&mut server).await?;
    server.write_all_from_fin(&mut &request[..]).await
}

/// Says a kilobyte, and returns the answer
async fn ask(opening: impl Future<Output = io::Result<Stream>>) -> io::Result<Vec<u8>> {
    let mut client = opening.await?;
    write_all(&mut client, &[7; 1000]).await?;
    read_all(&mut client).await
}

/// Makes a call, which the server answers
fn call(pair: &mut Pair, request_len: usize, answer_len: usize) {
    let (request, answer) = (pattern(request_len, 1), pattern(answer_len, 2));
    let (sent, sent_back) = (request.clone(), answer.clone());
    let opening = pair.open();
    let call = pair.spawn("call", async move {
        let mut client = opening.await?;
        let mut storage = &sent[..];
        client.write_all_from_fin(&mut storage).await?;
        read_all(&mut client).await
    });
    let accepting = pair.accept();
    let serving = pair.spawn("answer", async move {
        let mut server = accepting.await?;
        let got = read_all(&mut server).await?;
        let mut storage = &sent_back[..];
        server.write_all_from_fin(&mut storage).await?;
        io::Result::Ok(got)
    });
    assert!(pair.block_on(call, SECOND).unwrap() == answer);
    assert!(pair.block_on(serving, SECOND).unwrap() == request);
}

/// Nothing of any stream is left, and every transmission that was made had its one end
fn assert_at_rest(pair: &Pair) {
    for (end, side) in [(&pair.client, Side::Client), (&pair.server, Side::Server)] {
        let metrics = end.metrics();
        assert_eq!(metrics.streams, 0, "{side:?}");
        assert_eq!(metrics.wheel_entries, 0, "{side:?}");
        assert_eq!(metrics.window_outstanding, 0, "{side:?}");
        assert_eq!(metrics.opens_unconfirmed, 0, "{side:?}");
        assert_eq!(metrics.receive_window_bytes, 0, "{side:?}");
        let calls = pair.network.calls(side);
        let sent: usize = calls.iter().map(|call| call.buffers).sum();
        assert_eq!(metrics.transmissions_sent, sent as u64, "{side:?}");
        assert_eq!(metrics.pool.in_use_bytes, spare(end), "{side:?}");
        assert_eq!(metrics.pool.data_bytes, 0, "{side:?}");
    }
}

/// What an environment without streams holds: the buffer for the next receive
fn spare(end: &End) -> usize {
    end.core.pool.config().burst_len
}
