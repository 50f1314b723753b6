// SPDX-License-Identifier: Apache-2.0

//! How much of its window a path uses while short messages are sent beside bulk.

use super::*;

const ALL: u64 = 3 << 19;
const PART: u64 = ALL / 3;

fn pair() -> Pair {
    Pair::new(near())
}

fn limit(pair: &Pair) -> u64 {
    pair.client.metrics().window_limit
}

fn finish(pair: &mut Pair, reading: Vec<Join<io::Result<Vec<u8>>>>) {
    for read in reading {
        pair.block_on(read, 10 * SECOND).unwrap();
    }
}

#[test]
fn bulk_leaves_most_of_the_window_while_calls_are_made() {
    let mut pair = pair();
    let reading = bulk(&mut pair, 20_000_000);
    pair.run_for(10 * MILLISECOND);
    assert_eq!(limit(&pair), ALL);
    call(&mut pair, 100, 100);
    pair.run_for(MILLISECOND);
    assert_eq!(limit(&pair), PART);
    assert!(reading.iter().all(|read| !read.is_done()));
    finish(&mut pair, reading);
    assert_eq!(limit(&pair), PART);
    // until calls are expected no more
    pair.run_for(100 * MILLISECOND);
    let reading = bulk(&mut pair, 5_000_000);
    finish(&mut pair, reading);
    assert_eq!(limit(&pair), ALL);
}

#[test]
fn messages_of_an_old_stream_count_as_calls_do() {
    let mut pair = pair();
    let (mut talks, _listens) = pair.connect();
    assert_eq!(write_now(&mut talks, &[1; 100]), 100);
    let reading = bulk(&mut pair, 20_000_000);
    pair.run_for(10 * MILLISECOND);
    assert_eq!(limit(&pair), ALL, "it was alone");
    assert_eq!(write_now(&mut talks, &[2; 100]), 100);
    pair.run_for(MILLISECOND);
    assert_eq!(limit(&pair), PART);
    finish(&mut pair, reading);
}

#[test]
fn what_is_left_of_bulk_is_no_message() {
    // nor is what a server takes at first
    let mut pair = Pair::new(Options {
        agreed: Agreement {
            initial_window: 10_000,
            ..Agreement::default()
        },
        ..near()
    });
    let (mut first, mut reads) = pair.connect();
    let opening = pair.open();
    let mut late = pair.block_on(opening, SECOND).unwrap();
    assert!(write_now(&mut first, &pattern(50_000, 1)) > 0);
    pair.spawn("read", async move { read_all(&mut reads).await });
    let reading = bulk(&mut pair, 20_000_000);
    pair.run_for(10 * MILLISECOND);
    assert_eq!(limit(&pair), ALL, "to announce a stream is none");
    let outstanding = pair.client.metrics().window_outstanding;
    assert!(outstanding > PART, "{outstanding}");
    assert_eq!(write_now(&mut first, &[2; 100]), 100);
    assert_eq!(write_now(&mut late, &[3; 50_000]), 10_000);
    let accepting = pair.accept();
    // what nobody reads for so long would count as lost, as others are answered
    pair.spawn("read", async move { read_all(&mut accepting.await?).await });
    pair.run_for(MILLISECOND);
    assert_eq!(limit(&pair), ALL);
    assert!(reading.iter().all(|read| !read.is_done()));
    finish(&mut pair, reading);
}
