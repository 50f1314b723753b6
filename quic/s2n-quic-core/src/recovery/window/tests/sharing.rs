// SPDX-License-Identifier: Apache-2.0

//! Who is next, and what share each has.

use super::*;

/// Has every flow that gets room take it and wait again, until `bytes` were taken; returns what each took
fn serve(window: &mut Window<usize>, flows: &[FlowId], bytes: u64) -> Vec<u64> {
    let mut taken = vec![0; flows.len()];
    while taken.iter().sum::<u64>() < bytes {
        let index = window.grant(QUANTUM, 2 * QUANTUM, at(0)).expect("room");
        let len = window.take(flows[index], QUANTUM, QUANTUM, 2 * QUANTUM);
        taken[index] += len;
        window.wait(flows[index], QUANTUM, QUANTUM, index);
        window.release(len);
    }
    taken
}

/// So many flows that always want more, all waiting, after they had `bytes` in all
fn served(count: usize, bytes: u64) -> (Window<usize>, Vec<FlowId>) {
    let mut window = Window::default();
    let flows: Vec<_> = (0..count).map(|_| window.insert()).collect();
    window.take_unchecked(2 * QUANTUM);
    for (index, flow) in flows.iter().enumerate() {
        window.wait(*flow, QUANTUM, QUANTUM, index);
    }
    window.release(QUANTUM);
    serve(&mut window, &flows, bytes);
    (window, flows)
}

#[test]
fn one_who_asks_for_little_goes_ahead_of_bulk_each_time() {
    let (mut window, flows) = served(10, 25 * QUANTUM);

    let small = window.insert();
    for _ in 0..2 {
        assert_eq!(window.take(small, 100, QUANTUM, 2 * QUANTUM), 0);
        window.wait(small, 100, QUANTUM, 1000);
        assert_eq!(window.grant(QUANTUM, 2 * QUANTUM, at(0)), Some(1000));
        assert_eq!(window.take(small, 100, QUANTUM, 2 * QUANTUM), 100);
        window.release(100);
    }
    // but not one who always asks: it has its share as the others have
    window.wait(small, 100, QUANTUM, 1000);
    let before = window.virtual_time;
    let (mut own, mut all) = (0, 0);
    while all < 100 * QUANTUM {
        let index = window.grant(QUANTUM, 2 * QUANTUM, at(0)).expect("room");
        let (flow, want) = match index {
            1000 => (small, 100),
            index => (flows[index], QUANTUM),
        };
        let len = window.take(flow, want, QUANTUM, 2 * QUANTUM);
        window.wait(flow, want, QUANTUM, index);
        window.release(len);
        all += len;
        own += if index == 1000 { len } else { 0 };
    }
    assert!(own < 13 * QUANTUM, "{own} of {all}");
    assert!(window.virtual_time - before > 8 * QUANTUM);
}

#[test]
fn flows_that_always_want_more_have_the_same_share() {
    let (mut window, flows) = served(7, 0);
    let taken = serve(&mut window, &flows, 700 * QUANTUM);
    for taken in taken {
        assert!(taken.abs_diff(100 * QUANTUM) <= QUANTUM, "{taken}");
    }
}

#[test]
fn each_has_its_turns_in_a_row() {
    let (mut window, flows) = served(7, 0);
    window.set_turns_in_a_row(4);
    let mut turns = Vec::new();
    let mut taken = vec![0; flows.len()];
    for _ in 0..700 {
        let one = serve(&mut window, &flows, QUANTUM);
        let index = one.iter().position(|len| *len > 0).expect("one had it");
        taken[index] += one[index];
        turns.push(index);
    }
    let again = turns.windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert_eq!(again, 700 * 3 / 4, "{turns:?}");
    assert_eq!(taken, [100 * QUANTUM; 7]);
}

#[test]
fn turns_in_a_row_of_bulk_do_not_delay_one_who_asks_for_little() {
    let (mut window, flows) = served(10, 25 * QUANTUM);
    for pause in 0..200 {
        // more wait, or fewer
        window.set_turns_in_a_row([1, 4, 4, 2][pause as usize % 4]);
        serve(&mut window, &flows, pause % 50 * QUANTUM);
        // an eighth of what the others have in a row
        let little = [125, 500, 500, 250][pause as usize % 4];
        let small = window.insert();
        window.wait(small, little, QUANTUM, 1000);
        let granted = window.grant(QUANTUM, 2 * QUANTUM, at(0));
        assert_eq!(granted, Some(1000), "after {pause}");
        assert_eq!(window.take(small, little, QUANTUM, 2 * QUANTUM), little);
        window.release(little);
        window.remove(small);
    }
}

#[test]
fn new_flows_one_after_the_other_do_not_starve_those_that_wait() {
    let mut window = Window::default();
    let bulk = window.insert();
    window.take_unchecked(QUANTUM);
    window.wait(bulk, QUANTUM, QUANTUM, usize::MAX);
    window.release(QUANTUM);
    window.grant(QUANTUM, QUANTUM, at(0));
    window.take(bulk, QUANTUM, QUANTUM, QUANTUM);
    window.wait(bulk, QUANTUM, QUANTUM, usize::MAX);
    let mut served_after = None;
    for number in 0..100 {
        let fresh = window.insert();
        window.wait(fresh, QUANTUM, QUANTUM, number);
        window.release(QUANTUM);
        let next = window.grant(QUANTUM, QUANTUM, at(0)).expect("room");
        if next == usize::MAX {
            served_after = Some(number);
            break;
        }
        window.take(fresh, QUANTUM, QUANTUM, QUANTUM);
        window.remove(fresh);
    }
    assert!(
        served_after.is_some_and(|number| number < 4),
        "{served_after:?}"
    );
}

/// Ten flows that always want more and come for their grants a little later, as on a busy path, and those that have the window just now
fn busy() -> (Window<usize>, Vec<FlowId>, VecDeque<usize>) {
    let mut window = Window::default();
    let flows: Vec<_> = (0..10).map(|_| window.insert()).collect();
    let mut granted = VecDeque::new();
    for (index, flow) in flows.iter().enumerate() {
        window.wait(*flow, QUANTUM, QUANTUM, index);
    }
    for _ in 0..1000 {
        granted.extend(core::iter::from_fn(|| {
            window.grant(QUANTUM, 4 * QUANTUM, at(0))
        }));
        let index = granted.pop_front().expect("room");
        let taken = window.take(flows[index], QUANTUM, QUANTUM, 4 * QUANTUM);
        window.release(taken);
        window.wait(flows[index], QUANTUM, QUANTUM, index);
    }
    granted.extend(window.grant(QUANTUM, 4 * QUANTUM, at(0)));
    (window, flows, granted)
}

#[test]
fn one_who_asks_for_little_does_not_wait_for_bulk_to_come_back() {
    let (mut window, ..) = busy();
    let limit = 4 * QUANTUM;
    assert!(window.waiters() > 0);
    assert_eq!(window.outstanding(), limit);
    let small = window.insert();
    assert_eq!(window.take(small, 100, QUANTUM, limit), 100);
    // by a sixteenth, and not by more
    let mut taken = 100;
    for _ in 0..1000 {
        let another = window.insert();
        let more = window.take(another, 100, QUANTUM, limit);
        if more == 0 {
            break;
        }
        taken += more;
    }
    assert!((limit / OVERDRAFT - 100..=limit / OVERDRAFT).contains(&taken));
    let bulk = window.insert();
    assert_eq!(window.take(bulk, QUANTUM, QUANTUM, limit), 0);
}

/// What a flow of bulk does until a step
#[derive(Clone, Copy)]
enum Doing {
    Pause(u32),
    Wait,
    /// And has taken so much
    Hold(u32, u64),
}

#[test]
fn one_who_asks_for_little_is_next_although_bulk_pauses() {
    let mut window = Window::default();
    let limit = 4 * QUANTUM;
    let mut flows: Vec<_> = (0..10)
        .map(|_| (window.insert(), Doing::Pause(0)))
        .collect();
    let mut seed = 1_u32;
    let mut random = |below: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) % below
    };
    let (mut asked, mut refused) = (0, 0);
    for step in 0..20_000 {
        for (index, (flow, doing)) in flows.iter_mut().enumerate() {
            match *doing {
                Doing::Hold(until, taken) if until <= step => {
                    window.release(taken);
                    *doing = Doing::Pause(step + random(3));
                }
                Doing::Pause(until) if until <= step => {
                    let taken = window.take(*flow, QUANTUM, QUANTUM, limit);
                    *doing = Doing::Hold(step + 3 + random(5), taken);
                    if taken == 0 {
                        window.wait(*flow, QUANTUM, QUANTUM, index);
                        *doing = Doing::Wait;
                    }
                }
                _ => {}
            }
        }
        while let Some(index) = window.grant(QUANTUM, limit, at(0)) {
            let taken = window.take(flows[index].0, QUANTUM, QUANTUM, limit);
            flows[index].1 = Doing::Hold(step + 3 + random(5), taken);
        }
        if window.waiters() > 0 && random(4) == 0 {
            let small = window.insert();
            let taken = window.take(small, 100, QUANTUM, limit);
            asked += 1;
            refused += u32::from(taken == 0);
            window.release(taken);
            window.remove(small);
        }
    }
    assert!(asked > 4000, "{asked}");
    assert!(refused * 100 < asked, "{refused} of {asked}");
}

#[test]
fn new_bulk_comes_after_all_who_wait_and_a_new_message_before_them() {
    let (mut window, ..) = busy();
    let (bulk, small) = (window.insert(), window.insert());
    window.wait(bulk, QUANTUM, QUANTUM, 10);
    window.wait(small, 100, QUANTUM, 11);
    let limit = 100 * QUANTUM;
    let order: Vec<_> = core::iter::from_fn(|| window.grant(QUANTUM, limit, at(0))).collect();
    assert!(order.len() > 4, "{order:?}");
    assert_eq!((order[0], order[order.len() - 1]), (11, 10), "{order:?}");
}

#[test]
fn a_turn_is_not_little_however_large_the_window_is() {
    let mut window = Window::<()>::default();
    let (bulk, small) = (window.insert(), window.insert());
    let limit = 100 * QUANTUM;
    window.take_unchecked(limit);
    assert_eq!(window.take(bulk, QUANTUM, QUANTUM, limit), 0);
    assert_eq!(window.take(small, QUANTUM / 8, QUANTUM, limit), QUANTUM / 8);
}

#[test]
fn one_who_asks_for_little_is_next_after_many_turns_at_once() {
    let (mut window, flows) = served(9, 90 * QUANTUM);
    // all but one have their turn before anybody comes to wait again
    let limit = 8 * QUANTUM + window.outstanding();
    let granted: Vec<_> = core::iter::from_fn(|| window.grant(QUANTUM, limit, at(0))).collect();
    assert_eq!(granted.len(), 8);
    for index in granted {
        window.take(flows[index], QUANTUM, QUANTUM, limit);
    }
    assert!(window.waiters() > 0);
    let small = window.insert();
    assert_eq!(window.take(small, 100, QUANTUM, limit), 100);
}

#[test]
fn those_who_ask_for_little_again_and_again_let_bulk_go_ahead() {
    let (mut window, flows, granted) = busy();
    let limit = 4 * QUANTUM;
    let mut taken = 0;
    for _ in 0..1000 {
        let small = window.insert();
        let len = window.take(small, 100, QUANTUM, limit);
        if len == 0 {
            break;
        }
        taken += len;
        window.release(len);
        window.remove(small);
    }
    // each of the ten counts as much as all of them together
    assert!((QUANTUM..=12 * QUANTUM).contains(&taken), "{taken}");
    let bulk = window.take(flows[granted[0]], QUANTUM, QUANTUM, limit);
    window.release(bulk);
    assert!(window.grant(QUANTUM, limit, at(0)).is_some());
}

#[test]
fn who_was_alone_is_not_behind_those_who_come() {
    let mut window = Window::default();
    let early = window.insert();
    for _ in 0..100 {
        assert_eq!(window.take(early, QUANTUM, QUANTUM, 8 * QUANTUM), QUANTUM);
        if window.outstanding() == 8 * QUANTUM {
            window.release(QUANTUM);
        }
    }
    window.take_unchecked(8 * QUANTUM);
    let flows = [early, window.insert(), window.insert()];
    for (index, flow) in flows.iter().enumerate() {
        window.wait(*flow, QUANTUM, QUANTUM, index);
    }
    window.release(window.outstanding() - QUANTUM);
    let taken = serve(&mut window, &flows, 9 * QUANTUM);
    assert!(taken[0] >= 2 * QUANTUM, "{taken:?}");
}
