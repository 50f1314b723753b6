// SPDX-License-Identifier: Apache-2.0

//! The search for the window, event by event; whole paths are in `link`.

use super::*;

mod link;

const LIMITS: Limits = Limits {
    initial: 15_000,
    min: 6_000,
    max: 2_000_000,
};

fn at(millis: u64) -> Timestamp {
    // SAFETY: the tests use one made-up clock
    unsafe { Timestamp::from_duration(Duration::from_millis(1 + millis)) }
}

/// Without a round-trip time, so that the delay ends nothing
fn acknowledged(bytes: u64, is_limiting: bool) -> Acknowledged {
    Acknowledged {
        bytes,
        sent: at(0),
        rtt: None,
        is_limiting,
    }
}

fn lose(congestion: &mut Congestion, sent: u64, now: u64) -> bool {
    congestion.on_congestion(Signal::Loss, at(sent), at(now))
}

/// A whole window is acknowledged, packet by packet
fn round(congestion: &mut Congestion) {
    let mut left = congestion.window();
    while left > 0 {
        let bytes = left.min(1450);
        congestion.on_acknowledged(acknowledged(bytes, true), at(0));
        left -= bytes;
    }
}

#[test]
fn slow_start_doubles_with_each_round_trip_up_to_the_limit() {
    let mut congestion = Congestion::new(LIMITS);
    for doubling in 1..7 {
        round(&mut congestion);
        let expected = 15_000 << doubling;
        let window = congestion.window();
        assert!(
            window.abs_diff(expected) < expected / 3,
            "{window} {expected}"
        );
    }
    for _ in 0..10 {
        round(&mut congestion);
    }
    assert_eq!(congestion.window(), LIMITS.max);
    assert!(congestion.is_doubling());
}

#[test]
fn a_window_that_is_not_used_does_not_grow() {
    let mut congestion = Congestion::new(LIMITS);
    congestion.on_acknowledged(acknowledged(1_000_000, false), at(0));
    assert_eq!(congestion.window(), LIMITS.initial);
}

#[test]
fn the_losses_of_one_round_trip_shrink_the_window_once() {
    let mut congestion = Congestion::new(Limits {
        initial: 100_000,
        ..LIMITS
    });
    lose(&mut congestion, 0, 10);
    lose(&mut congestion, 5, 11);
    lose(&mut congestion, 10, 12);
    assert_eq!(congestion.window(), 50_000, "half of what had doubled");
    lose(&mut congestion, 11, 20);
    assert_eq!(congestion.window(), 40_000);
}

#[test]
fn a_search_halves_the_distance_and_then_doubles_its_steps_beyond() {
    let mut congestion = Congestion::new(Limits {
        initial: 1_000_000,
        ..LIMITS
    });
    congestion.phase = Phase::Search { target: 1_000_000 };
    lose(&mut congestion, 0, 10);
    let mut windows = vec![congestion.window()];
    for _ in 0..20 {
        round(&mut congestion);
        windows.push(congestion.window());
    }
    let steps: Vec<u64> = windows.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // slower and slower up to what was too much, and faster and faster from there
    let slowest = steps
        .iter()
        .enumerate()
        .min_by_key(|(_, step)| **step)
        .unwrap()
        .0;
    assert!(windows[slowest].abs_diff(1_000_000) < 40_000, "{windows:?}");
    assert!(steps[..=slowest].is_sorted_by(|a, b| a >= b), "{steps:?}");
    assert!(steps[slowest..].is_sorted(), "{steps:?}");
    assert!(steps[0] > 8 * steps[slowest], "{steps:?}");
    assert!(
        windows.iter().any(|window| *window > 1_200_000),
        "{windows:?}"
    );
}

#[test]
fn a_loss_below_the_target_lowers_it() {
    let mut congestion = Congestion::new(Limits {
        initial: 1_000_000,
        ..LIMITS
    });
    lose(&mut congestion, 0, 10);
    lose(&mut congestion, 11, 20);
    assert_eq!(congestion.phase, Phase::Search { target: 450_000 });
}

#[test]
fn a_loss_close_to_the_target_leaves_it() {
    let mut congestion = Congestion::new(Limits {
        initial: 1_000_000,
        ..LIMITS
    });
    lose(&mut congestion, 0, 10);
    while congestion.window() < 990_000 {
        round(&mut congestion);
    }
    let window = congestion.window();
    lose(&mut congestion, 11, 20);
    assert_eq!(congestion.phase, Phase::Search { target: window });
    assert_eq!(congestion.window(), window * 4 / 5);
}

#[test]
fn losses_that_were_none_leave_the_window_as_it_was() {
    let mut congestion = Congestion::new(Limits {
        initial: 100_000,
        ..LIMITS
    });
    assert!(lose(&mut congestion, 0, 10));
    assert!(!lose(&mut congestion, 5, 11));
    congestion.on_spurious_loss(at(0));
    assert_eq!(congestion.window(), 50_000, "the other one may be real");
    congestion.on_spurious_loss(at(5));
    assert_eq!(congestion.window(), 100_000);
    assert!(congestion.is_doubling());
    // what arrives twice changes nothing more
    congestion.on_spurious_loss(at(5));
    assert_eq!(congestion.window(), 100_000);
}

#[test]
fn a_real_loss_among_those_that_were_none_keeps_the_window_small() {
    let mut congestion = Congestion::new(Limits {
        initial: 100_000,
        ..LIMITS
    });
    lose(&mut congestion, 0, 10);
    // a later episode: what was lost before it is none of its losses
    lose(&mut congestion, 20, 30);
    congestion.on_spurious_loss(at(0));
    assert_eq!(congestion.window(), 40_000);
    // and a mark is never wrong
    congestion.on_congestion(Signal::Mark, at(25), at(31));
    congestion.on_spurious_loss(at(20));
    assert_eq!(congestion.window(), 40_000);
}

#[test]
fn the_window_stays_within_its_limits_whatever_happens() {
    bolero::check!()
        .with_type::<Vec<(u8, u32)>>()
        .with_iterations(5000)
        .for_each(|steps| {
            let mut congestion = Congestion::new(LIMITS);
            for (now, (kind, amount)) in steps.iter().enumerate() {
                let now = now as u64;
                match kind % 5 {
                    0 => drop(lose(&mut congestion, now, now)),
                    1 => drop(lose(&mut congestion, now / 2, now)),
                    2 => congestion.on_spurious_loss(at(now / 2)),
                    kind => congestion.on_acknowledged(
                        Acknowledged {
                            sent: at(now / 2),
                            rtt: Some(Duration::from_micros(u64::from(*amount))),
                            ..acknowledged(u64::from(*amount), kind == 3)
                        },
                        at(now),
                    ),
                }
                let window = congestion.window();
                assert!((LIMITS.min..=LIMITS.max).contains(&window), "{window}");
            }
        });
}
