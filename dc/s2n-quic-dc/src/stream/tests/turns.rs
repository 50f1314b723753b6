// SPDX-License-Identifier: Apache-2.0

//! How writers share the window of their path.

use super::*;
use crate::stream::send::application::MAX_BATCHES_PER_POLL;

/// Bytes that one stream sent in a row, for each time that it had its turn
fn runs(sent: &[Data]) -> Vec<usize> {
    sent.chunk_by(|a, b| a.key_id == b.key_id)
        .map(|run| run.iter().map(|data| data.len).sum())
        .collect()
}

#[test]
fn a_turn_on_a_wide_path_is_several_batches() {
    let mut pair = Pair::new(Options::default());
    for read in bulk(&mut pair, 20_000_000) {
        assert_eq!(pair.block_on(read, 60 * SECOND).unwrap().len(), 20_000_000);
    }
    let sent = data_of(&pair.network.sent(Side::Client, Kind::is_first_send));
    // once the window has grown, and before the last streams are alone
    let runs = runs(&sent[sent.len() / 2..sent.len() * 3 / 4]);
    // or half of it, which is what a writer waits for
    let turn = MAX_BATCHES_PER_POLL / 2 * 60_000;
    let whole = runs.iter().filter(|bytes| **bytes >= turn).count();
    assert!(runs.len() > 20 && whole * 10 >= runs.len() * 9, "{runs:?}");
}

#[test]
fn where_many_wait_on_a_wide_path_each_has_several_turns_in_a_row() {
    let mut pair = Pair::new(Options::default());
    for read in uploads(&mut pair, 160, 1_500_000) {
        assert_eq!(pair.block_on(read, 60 * SECOND).unwrap().len(), 1_500_000);
    }
    let sent = data_of(&pair.network.sent(Side::Client, Kind::is_first_send));
    // while nearly all of them wait
    let runs = runs(&sent[sent.len() / 4..sent.len() / 2]);
    let row = MAX_BATCHES_PER_POLL * 60_000 * 3;
    let in_rows: usize = runs.iter().filter(|bytes| **bytes >= row).sum();
    let all: usize = runs.iter().sum();
    assert!(in_rows * 10 >= all * 7, "{in_rows} of {all}: {runs:?}");
}

#[test]
fn writers_that_do_not_come_for_their_turn_hold_nobody_up_for_long() {
    let mut pair = Pair::new(Options::default());
    let mut idlers: Vec<_> = (0..20).map(|_| pair.connect()).collect();
    let (mut client, mut server) = pair.connect();
    pair.run_for(10 * MILLISECOND);
    // nothing leaves, so that nobody's acknowledgement helps
    pair.network.block(Side::Client, 20 * MILLISECOND);
    for (idler, _) in &mut idlers {
        // takes what there is window for, then waits in line and never looks again
        while write_now(idler, &[1; 60_000]) > 0 {}
    }
    let writing = pair.spawn("write", async move {
        write_all(&mut client, &[2; 10_000]).await
    });
    pair.run_for(30 * MILLISECOND);
    assert!(!writing.is_done(), "others are first in line");
    pair.block_on(writing, SECOND).unwrap();
    assert_eq!(
        pair.block_on(read_all(&mut server), SECOND).unwrap(),
        [2; 10_000]
    );
    drop((idlers, server));
    pair.run_for(60 * SECOND);
    assert_at_rest(&pair);
    assert_eq!(pair.next_event(), None);
}
