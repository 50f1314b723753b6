// SPDX-License-Identifier: Apache-2.0

//! The shared window against its rule: what is taken is given back once, and turns go round.

use super::*;

mod sharing;

const QUANTUM: u64 = 1000;

fn at(millis: u64) -> Timestamp {
    // SAFETY: the tests use one made-up clock
    unsafe { Timestamp::from_duration(Duration::from_millis(1000 + millis)) }
}

#[test]
fn a_lone_flow_takes_what_is_free() {
    let mut window = Window::<()>::default();
    let flow = window.insert();
    assert_eq!(window.take(flow, 600, QUANTUM, 1000), 600);
    assert_eq!(window.take(flow, 400, QUANTUM, 1000), 400);
    assert_eq!(window.take(flow, 600, QUANTUM, 1000), 0);
    window.release(1000);
    assert_eq!(window.outstanding(), 0);
}

#[test]
fn a_closed_window_still_lets_one_through_when_nothing_is_outstanding() {
    let mut window = Window::<()>::default();
    let flow = window.insert();
    assert_eq!(window.take(flow, 600, QUANTUM, 0), 600);
    assert_eq!(window.take(flow, 600, QUANTUM, 0), 0);
}

#[test]
fn crumbs_are_refused_until_half_a_quantum_is_free() {
    let mut window = Window::<()>::default();
    let flow = window.insert();
    window.take_unchecked(600);
    assert_eq!(window.take(flow, QUANTUM, QUANTUM, 1000), 0);
    // what fits whole is no crumb
    assert_eq!(window.take(flow, 50, QUANTUM, 1000), 50);
    window.release(150);
    assert_eq!(window.take(flow, QUANTUM, QUANTUM, 1000), 500);
}

#[test]
fn waiting_flows_take_turns_of_one_quantum() {
    let mut window = Window::default();
    let flows: Vec<_> = (0..3).map(|_| window.insert()).collect();
    window.take_unchecked(QUANTUM);
    for (i, flow) in flows.iter().enumerate() {
        assert_eq!(window.take(*flow, 5000, QUANTUM, QUANTUM), 0);
        window.wait(*flow, QUANTUM, QUANTUM, i);
    }
    let mut order = vec![];
    for _ in 0..9 {
        window.release(QUANTUM);
        let i = window.grant(QUANTUM, QUANTUM, at(0)).expect("room for one");
        assert_eq!(window.grant(QUANTUM, QUANTUM, at(0)), None);
        assert_eq!(window.take(flows[i], 5000, QUANTUM, QUANTUM), QUANTUM);
        window.wait(flows[i], QUANTUM, QUANTUM, i);
        order.push(i);
    }
    assert_eq!(order, [0, 1, 2, 0, 1, 2, 0, 1, 2]);
}

#[test]
fn nobody_overtakes_a_waiting_flow() {
    let mut window = Window::default();
    let (first, second) = (window.insert(), window.insert());
    window.take_unchecked(QUANTUM);
    window.wait(first, QUANTUM, QUANTUM, ());
    window.release(QUANTUM);
    assert_eq!(window.take(second, 10, QUANTUM, 10 * QUANTUM), 0);
}

#[test]
fn no_more_is_granted_than_is_wanted() {
    let mut window = Window::default();
    let flow = window.insert();
    window.take_unchecked(1);
    window.wait(flow, 10, QUANTUM, ());
    assert!(window.grant(QUANTUM, 2 * QUANTUM, at(0)).is_some());
    assert_eq!(window.outstanding(), 11);
}

#[test]
fn what_is_granted_and_not_used_goes_back() {
    let mut window = Window::default();
    let flow = window.insert();
    window.take_unchecked(1);
    window.wait(flow, QUANTUM, QUANTUM, ());
    assert!(window.grant(QUANTUM, 2 * QUANTUM, at(0)).is_some());
    assert_eq!(window.outstanding(), QUANTUM + 1);
    assert_eq!(window.take(flow, 10, QUANTUM, 2 * QUANTUM), 10);
    assert_eq!(window.outstanding(), 11);
}

#[test]
fn a_grant_that_nobody_comes_for_goes_to_the_next() {
    let mut window = Window::default();
    let (silent, waiting) = (window.insert(), window.insert());
    window.take_unchecked(1);
    window.wait(silent, QUANTUM, QUANTUM, "silent");
    window.wait(waiting, QUANTUM, QUANTUM, "waiting");
    let limit = QUANTUM + 1;
    assert_eq!(window.grant(QUANTUM, limit, at(0)), Some("silent"));
    assert_eq!(window.grant(QUANTUM, limit, at(49)), None);
    assert_eq!(window.grant(QUANTUM, limit, at(50)), Some("waiting"));
    // the silent one is back where it started
    assert_eq!(window.take(silent, QUANTUM, QUANTUM, limit), 0);
    assert_eq!(window.take(waiting, QUANTUM, QUANTUM, limit), QUANTUM);
}

#[test]
fn a_cancelled_wait_holds_nothing() {
    let mut window = Window::default();
    let flow = window.insert();
    window.take_unchecked(1);
    window.wait(flow, QUANTUM, QUANTUM, "waits");
    window.cancel(flow);
    assert!(window.waiters() == 0);
    let other = window.insert();
    assert_eq!(window.take(other, 1, QUANTUM, 2 * QUANTUM), 1);
    window.release(1);
    assert_eq!(window.grant(QUANTUM, 2 * QUANTUM, at(0)), None);
    window.wait(flow, QUANTUM, QUANTUM, "waits again");
    assert_eq!(
        window.grant(QUANTUM, 2 * QUANTUM, at(0)),
        Some("waits again")
    );
    window.cancel(flow);
    assert_eq!(window.outstanding(), 1);
}

#[test]
fn a_removed_flow_returns_its_grant_and_loses_its_turn() {
    let mut window = Window::default();
    let (gone, stays) = (window.insert(), window.insert());
    window.take_unchecked(1);
    window.wait(gone, QUANTUM, QUANTUM, "gone");
    window.wait(stays, QUANTUM, QUANTUM, "stays");
    window.remove(gone);
    assert_eq!(window.grant(QUANTUM, 2 * QUANTUM, at(0)), Some("stays"));
    window.remove(stays);
    assert_eq!(window.outstanding(), 1);
}

#[test]
fn the_newest_token_is_the_one_handed_back() {
    let mut window = Window::default();
    let flow = window.insert();
    window.wait(flow, 10, QUANTUM, "old");
    window.wait(flow, QUANTUM, QUANTUM, "new");
    assert_eq!(window.grant(QUANTUM, QUANTUM, at(0)), Some("new"));
    assert_eq!(window.grant(QUANTUM, QUANTUM, at(0)), None);
}

/// Random operations; the oracle is the sum of what each flow holds
#[test]
fn bytes_are_conserved_under_random_use() {
    bolero::check!()
        .with_type::<Vec<(u8, u8, u16)>>()
        .with_iterations(5000)
        .for_each(|ops| {
            let mut window = Window::default();
            let mut flows: Vec<(FlowId, u64)> = vec![];
            let mut detached = 0;
            let limit = 20_000;
            for (op, index, amount) in ops {
                let amount = u64::from(*amount);
                let index = usize::from(*index) % flows.len().max(1);
                match op % 6 {
                    0 => flows.push((window.insert(), 0)),
                    1 if !flows.is_empty() => {
                        let (flow, held) = flows.swap_remove(index);
                        window.remove(flow);
                        detached += held;
                    }
                    2 if !flows.is_empty() => {
                        let (flow, held) = &mut flows[index];
                        let taken = window.take(*flow, amount, QUANTUM, limit);
                        assert!(taken <= amount);
                        *held += taken;
                    }
                    3 if !flows.is_empty() => window.wait(flows[index].0, QUANTUM, QUANTUM, ()),
                    4 if !flows.is_empty() => {
                        let (_, held) = &mut flows[index];
                        window.release(*held);
                        *held = 0;
                    }
                    _ => while window.grant(QUANTUM, limit, at(0)).is_some() {},
                }
                let held: u64 = flows.iter().map(|(_, held)| held).sum();
                assert!(window.outstanding() >= held + detached);
            }
            for (flow, held) in flows.drain(..) {
                window.remove(flow);
                window.release(held);
            }
            window.release(detached);
            assert_eq!(window.outstanding(), 0);
        });
}
