// SPDX-License-Identifier: Apache-2.0

//! Whole transfers over bad networks.

use super::*;

/// 256 KiB each way; returns the time that it took
fn both_ways(pair: &mut Pair, limit: Duration) -> Duration {
    let request = pattern(256 << 10, 1);
    let response = pattern(256 << 10, 2);
    let start = pair.clock.elapsed();
    let opening = (pair.open(), pair.accept());
    let client = pair.block_on(opening.0, limit).unwrap();
    let at_client = exchange(pair, client, request.clone());
    let server = pair.block_on(opening.1, limit).unwrap();
    let at_server = exchange(pair, server, response.clone());
    let left = |pair: &Pair| limit.saturating_sub(pair.clock.elapsed() - start);
    let limit = left(pair);
    assert!(pair.block_on(at_server, limit).unwrap() == request);
    let limit = left(pair);
    assert!(pair.block_on(at_client, limit).unwrap() == response);
    pair.clock.elapsed() - start
}

#[test]
fn a_transfer_without_faults_is_exact() {
    let mut pair = Pair::new(Options::default());
    let took = both_ways(&mut pair, SECOND);
    assert!(took < Duration::from_millis(200), "{took:?}");
    assert!(pair
        .network
        .sent(Side::Client, |kind| kind.is_retransmission())
        .is_empty());
}

#[test]
fn a_third_of_all_packets_lost_each_way_delays_and_damages_nothing() {
    for seed in 0..20 {
        let mut pair = Pair::new(Options::default());
        pair.network.set_faults(lossy(33, seed));
        let took = both_ways(&mut pair, 15 * SECOND);
        println!("seed {seed}: {took:?}");
    }
}

#[test]
fn nine_of_ten_control_packets_lost_delay_and_damage_nothing() {
    for seed in 0..5 {
        let mut pair = Pair::new(Options::default());
        let mut dice = Dice(seed);
        pair.network.set_faults(move |sent| {
            if sent.kind.is_control() && dice.percent(90) {
                Fate::Drop
            } else {
                Fate::Deliver
            }
        });
        let took = both_ways(&mut pair, 60 * SECOND);
        println!("seed {seed}: {took:?}");
    }
}

#[test]
fn a_run_repeats_packet_by_packet() {
    let run = |seed| {
        let mut pair = Pair::new(Options::default());
        pair.network.set_faults(lossy(20, seed));
        both_ways(&mut pair, 30 * SECOND);
        pair.run_for(SECOND);
        pair.network.trace()
    };
    for seed in 0..3 {
        let (first, second) = (run(seed), run(seed));
        let differs = first.iter().zip(&second).find(|(a, b)| a != b);
        assert_eq!(differs, None);
        assert_eq!(first.len(), second.len());
    }
}
