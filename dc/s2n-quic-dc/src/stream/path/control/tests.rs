// SPDX-License-Identifier: Apache-2.0

//! The estimates of a path by hand: what follows from acknowledgements, losses and silence, and when.

use super::*;

const MTU: u16 = 1450;
const BATCH: u32 = 63_800;
const LIMITS: Limits = Limits {
    max_burst: BATCH,
    max_rate: None,
};

fn at(micros: u64) -> Timestamp {
    crate::clock::at_tick(1_000_000 + micros)
}

/// A packet that left at `sent` is acknowledged
fn acknowledge(control: &mut Control, sent: u64, now: u64) {
    acknowledge_after(0, control, sent, now);
}

/// The same, by a peer that has waited `delay` microseconds
fn acknowledge_after(delay: u64, control: &mut Control, sent: u64, now: u64) {
    let acknowledged = Acknowledged {
        bytes: u64::from(MTU),
        released: u64::from(MTU),
        departed: Departed { time: at(sent) },
        is_rtt_sample: true,
        delay: Duration::from_micros(delay),
    };
    control.on_acknowledged(acknowledged, true, at(now));
}

/// A path with a round trip of `rtt` microseconds
fn measured(rtt: u64) -> Control {
    let mut control = Control::new(MTU, LIMITS);
    for step in 0..100 {
        acknowledge(&mut control, step * rtt, (step + 1) * rtt);
    }
    control
}

/// A new path of 10 MB/s
fn limited() -> Control {
    let limits = Limits {
        max_rate: Some(10_000_000),
        ..LIMITS
    };
    Control::new(MTU, limits)
}

/// Many round trips of a millisecond
fn measure(control: &mut Control) {
    for step in 0..1000 {
        acknowledge(control, step * 1000, (step + 1) * 1000);
    }
}

#[test]
fn what_the_peer_has_waited_is_not_the_networks() {
    let mut control = Control::new(MTU, LIMITS);
    let mut same = Control::new(MTU, LIMITS);
    for step in 0..100 {
        acknowledge(&mut control, step * 1000, step * 1000 + 300);
        acknowledge_after(400, &mut same, step * 1000, step * 1000 + 700);
    }
    assert_eq!(same.rtt.smoothed_rtt(), control.rtt.smoothed_rtt());
    assert_eq!(same.rtt.min_rtt(), Duration::from_micros(300));
    // a peer that says that it has waited for longer than it has
    acknowledge_after(900, &mut same, 200_000, 200_700);
    assert_eq!(same.rtt.min_rtt(), Duration::from_micros(1));
}

#[test]
fn a_new_path_has_room_for_one_send_or_ten_datagrams_and_no_rate() {
    let mut control = Control::new(MTU, LIMITS);
    assert_eq!(control.window(), u64::from(BATCH));
    assert_eq!(Control::new(8900, LIMITS).window(), 89_000);
    assert_eq!(control.schedule(BATCH, at(0)), at(0));
    assert_eq!(control.schedule(BATCH, at(0)), at(0));
    assert_eq!(control.pto_period(1), Duration::from_millis(6));
}

#[test]
fn a_burst_is_what_one_send_carries_of_whole_datagrams() {
    let limits = Limits {
        max_burst: segment::MAX_TOTAL as u32,
        max_rate: Some(u64::MAX),
    };
    for (datagram_len, burst) in [(1450, 44 * 1450), (8900, 7 * 8900), (1200, 44 * 1200)] {
        let control = Control::new(datagram_len, limits);
        assert_eq!(control.departures.burst(control.rate), burst);
    }
}

#[test]
fn the_first_stream_says_how_large_packets_are_and_later_ones_change_nothing() {
    let mut control = Control::new(MTU, LIMITS);
    control.prepare(8900);
    assert_eq!(control.window(), 89_000);
    acknowledge(&mut control, 0, 100);
    let window = control.window();
    control.prepare(1200);
    assert_eq!(control.window(), window);
}

/// As where many paths end at one host, so that each has a low rate
#[test]
fn a_path_whose_packets_wait_anyway_sends_a_quarter_of_its_window_at_once() {
    let mut far = measured(10_000);
    let mut queued = measured(10_000);
    acknowledge(&mut queued, 1_000_000, 1_000_100);
    for control in [&mut far, &mut queued] {
        for step in 200..300 {
            acknowledge(control, step * 10_000, (step + 1) * 10_000);
        }
        let departed = Departed {
            time: at(4_000_000),
        };
        control.on_congestion(Signal::Loss, departed, at(4_000_100));
    }
    assert!(far.batch() < far.window() / 20, "{}", far.batch());
    assert_eq!(queued.batch(), queued.window() / 4);
}

#[test]
fn the_rate_is_the_window_per_round_trip_with_headroom() {
    let mut control = measured(10_000);
    let departed = Departed { time: at(900_000) };
    control.on_congestion(Signal::Mark, departed, at(1_000_000));
    let window = control.window();
    let rate = control.pacing_rate().unwrap();
    assert_eq!(rate, window * 100 * 5 / 4);
    // what takes longer than a burst waits for those before it
    let mut last = at(2_000_000);
    for _ in 0..200 {
        last = control.schedule(14_500, at(2_000_000));
    }
    let took = last - at(2_000_000);
    let expected = Duration::from_nanos(199 * 14_500 * 1_000_000_000 / rate);
    assert!(
        took.abs_diff(expected) < Duration::from_millis(1),
        "{took:?} {expected:?}"
    );
}

#[test]
fn a_limited_rate_holds_from_the_first_packet_and_keeps_the_window_small() {
    let mut control = limited();
    for step in 0..4 {
        let departure = control.schedule(2900, at(0));
        assert_eq!(departure, at(290 * step), "a burst is 2900 bytes");
    }
    measure(&mut control);
    assert_eq!(control.pacing_rate(), Some(10_000_000));
    assert_eq!(control.window(), 2 * 10_000 + 4 * 2900);
}

#[test]
fn a_turn_is_a_quarter_of_a_small_window_and_what_a_writer_makes_at_once_of_a_large_one() {
    let control = Control::new(MTU, LIMITS);
    assert_eq!(control.turn(), u64::from(BATCH) / 4);
    let mut fast = measured(100);
    let mut turns = Vec::new();
    for _ in 0..10_000 {
        acknowledge(&mut fast, 10_000, 10_100);
        let (turn, window) = (fast.turn(), fast.window());
        assert!(turn <= window / 4);
        assert_eq!(fast.batch(), turn.min(u64::from(BATCH)));
        turns.push(turn);
    }
    assert!(turns.is_sorted());
    assert!(turns.contains(&u64::from(BATCH)), "a burst for a while");
    assert_eq!(fast.turn(), MAX_BATCHES_PER_POLL as u64 * u64::from(BATCH));
}

#[test]
fn a_turn_is_one_burst_where_time_limits_it() {
    let mut slow = limited();
    measure(&mut slow);
    assert_eq!((slow.batch(), slow.turn()), (2900, 2900));
}

#[test]
fn many_that_wait_have_turns_in_a_row_unless_that_takes_long() {
    let mut fast = measured(100);
    for _ in 0..10_000 {
        acknowledge(&mut fast, 10_000, 10_100);
    }
    let round = fast.pacing_rate().unwrap() * MAX_ROUND.as_secs();
    let per_turn = (round / fast.turn()) as usize;
    assert!(per_turn > 8 * MANY, "{per_turn}");
    for (waiters, turns) in [
        (0, 1),
        (MANY - 1, 1),
        (MANY, 5),
        (per_turn / 5, 5),
        (per_turn / 2, 2),
        (per_turn, 1),
        (100 * per_turn, 1),
        (usize::MAX, 1),
    ] {
        assert_eq!(fast.turns_in_a_row(waiters), turns, "of {waiters}");
    }

    let mut slow = limited();
    measure(&mut slow);
    assert_eq!(slow.turns_in_a_row(MANY), 1);
    assert_eq!(Control::new(MTU, LIMITS).turns_in_a_row(MANY), 1);
}

#[test]
fn fewer_streams_open_at_once_when_a_queue_has_formed() {
    let (micros, millis) = (Duration::from_micros, Duration::from_millis);
    assert_eq!(max_openings(INITIAL_RTT, INITIAL_RTT), 512);
    assert_eq!(max_openings(micros(50), micros(100)), 512);
    assert_eq!(max_openings(micros(50), micros(200)), 256);
    assert_eq!(max_openings(micros(50), millis(10)), 128);
    assert_eq!(max_openings(millis(100), millis(150)), 512);
    assert_eq!(max_openings(Duration::ZERO, Duration::ZERO), 128);
    assert_eq!(max_openings(Duration::MAX, millis(1)), 512);
}

#[test]
fn packets_are_lost_when_later_ones_of_other_streams_have_arrived() {
    let mut control = measured(2000);
    let early = control.probe_period(1);
    assert!(early < control.pto_period(1));
    let sent = at(300_000);
    acknowledge(&mut control, 299_999, 301_999);
    let full = sent + control.pto_period(1);
    assert_eq!(
        control.on_silence(sent, 1, sent + early),
        Verdict::Wait(full)
    );
    acknowledge(&mut control, 300_001, 302_001);
    for _ in 0..3 {
        assert_eq!(control.on_silence(sent, 1, sent + early), Verdict::Lost);
    }
    let before = at(302_200);
    assert_eq!(
        control.on_silence(sent, 1, before),
        Verdict::Wait(sent + early)
    );
}

#[test]
fn on_a_host_whose_acknowledgements_come_in_any_order_a_stream_probes_first() {
    let mut control = measured(2000);
    let departed = Departed { time: at(300_000) };
    while control.thresholds().others < control.pto_period(1) {
        let age = control.thresholds().others + Duration::from_micros(1);
        control.on_spurious_loss(departed, 1, departed.time + age);
    }
    acknowledge(&mut control, 300_001, 302_001);
    let pto = control.pto_period(1);
    let early = departed.time + pto - Duration::from_micros(1);
    let due = departed.time + pto;
    assert_eq!(
        control.on_silence(departed.time, 1, early),
        Verdict::Wait(due)
    );
    // each for itself, as the path is not silent
    assert_eq!(control.on_silence(departed.time, 1, due), Verdict::Probe);
    assert_eq!(control.on_silence(departed.time, 1, due), Verdict::Probe);
}

#[test]
fn a_silent_path_is_probed_by_few_streams_at_a_time_and_ever_less_often() {
    let mut control = measured(1000);
    assert_eq!(control.pto_period(1), Duration::from_millis(4));
    let window = control.window();
    let (sent, start) = (at(100_000), at(200_000));
    let mut rounds = Vec::new();
    // a hundred streams look each millisecond
    for millis in 0..1300 {
        let now = start + Duration::from_millis(millis);
        let probes = (0..100)
            .map(|_| control.on_silence(sent, 1, now))
            .filter(|verdict| match verdict {
                Verdict::Probe => true,
                verdict => {
                    assert_eq!(*verdict, Verdict::Hold);
                    false
                }
            })
            .count();
        if probes > 0 {
            assert_eq!(probes, 8);
            rounds.push(millis);
        }
        assert_eq!(control.is_silent(), rounds.len() >= 2);
        assert_eq!(control.window(), if rounds.len() < 2 { window } else { 0 });
    }
    assert_eq!(rounds, [0, 8, 24, 56, 120, 248, 498, 748, 998, 1248]);
    // the first answer tells every other stream what to do
    acknowledge(&mut control, 1_599_000, 1_600_000);
    assert!(!control.is_silent() && control.window() >= window);
    let now = at(1_600_000);
    assert_eq!(control.on_silence(sent, 1, now), Verdict::Lost);
    assert_eq!(control.on_silence(sent, 8, now), Verdict::Lost);
}

#[test]
fn an_estimate_that_has_grown_postpones_the_probe() {
    let mut control = measured(1000);
    let sent = at(200_000);
    let early = sent + control.pto_period(1);
    acknowledge(&mut control, 150_000, 204_000);
    let Verdict::Wait(later) = control.on_silence(sent, 1, early) else {
        panic!("too early");
    };
    assert!(later > early + Duration::from_millis(5), "{later:?}");
}

#[test]
fn reordering_moves_the_thresholds_and_gives_the_window_back() {
    let mut control = measured(1000);
    let window = control.window();
    let departed = Departed { time: at(150_000) };
    control.on_congestion(Signal::Loss, departed, at(151_000));
    assert!(control.window() < window);
    control.on_spurious_loss(departed, 50, at(151_100));
    assert_eq!(control.window(), window);
    assert_eq!(control.thresholds().packets, 51);
}

#[test]
fn streams_answer_repetitions_for_longer_where_packets_are_lost() {
    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_millis(500);
    let mut control = measured(100);
    assert_eq!(control.time_wait(), SHORT);
    // a hundred packets that arrive make up for one that does not
    for loss in [Control::note_loss, |control: &mut Control| {
        let departed = Departed { time: at(20_000) };
        control.on_congestion(Signal::Loss, departed, at(20_000));
    }] {
        loss(&mut control);
        for step in 0..100 {
            assert_eq!(control.time_wait(), LONG, "{step}");
            acknowledge(&mut control, 30_000 + step, 30_100 + step);
        }
        assert_eq!(control.time_wait(), SHORT);
    }
    let departed = Departed { time: at(40_000) };
    control.on_congestion(Signal::Mark, departed, at(40_000));
    assert_eq!(control.time_wait(), SHORT, "nothing was lost");
    // however many are lost, a thousand are enough
    for _ in 0..1000 {
        control.note_loss();
    }
    for step in 0..1000 {
        assert_eq!(control.time_wait(), LONG, "{step}");
        acknowledge(&mut control, 50_000 + step, 50_100 + step);
    }
    assert_eq!(control.time_wait(), SHORT);

    // three probe timeouts, and never longer than half a second
    let probes = 3 * measured(20_000).pto_period(1);
    assert!(probes > SHORT && probes < LONG);
    assert_eq!(measured(20_000).time_wait(), probes);
    assert_eq!(measured(1_000_000).time_wait(), LONG);
}

#[test]
fn the_rate_in_use_follows_every_event() {
    let mut control = measured(10_000);
    assert_eq!(control.rate, control.pacing_rate());
    let departed = Departed { time: at(900_000) };
    control.on_congestion(Signal::Loss, departed, at(1_000_000));
    assert_eq!(control.rate, control.pacing_rate());
    control.on_spurious_loss(departed, 5, at(1_000_100));
    assert_eq!(control.rate, control.pacing_rate());
    acknowledge(&mut control, 1_000_100, 1_020_100);
    assert_eq!(control.rate, control.pacing_rate());
    assert!(control.rate.is_some());
}
