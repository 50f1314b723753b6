// SPDX-License-Identifier: Apache-2.0

//! Moving the ceiling: what is in use stays, what is idle goes, and who waits is served in order.

use super::*;

/// Who waits for a descriptor of this class.
fn waiting(pool: &Pool, class: Class) -> (Waiter, StdArc<Wakes>) {
    let (wakes, waker) = Wakes::new();
    let mut waiter = Waiter::default();
    let mut cx = Context::from_waker(&waker);
    assert!(pool.poll_alloc(class, &mut waiter, &mut cx).is_pending());
    (waiter, wakes)
}

fn wakes(line: &[(Waiter, StdArc<Wakes>)]) -> Vec<usize> {
    line.iter().map(|(_, wakes)| wakes.count()).collect()
}

#[test]
fn raised_it_serves_those_who_fit_at_once_in_order() {
    let pool = pool(BURST, BURST);
    let _held = data(&pool, Class::Burst);
    let classes = [Class::Packet, Class::Burst, Class::Packet, Class::Packet];
    let line = classes.map(|class| waiting(&pool, class));
    pool.set_max_bytes(2 * BURST + PACKET).unwrap();
    assert_eq!(wakes(&line), [1, 0, 0, 0], "the burst is not overtaken");
    pool.set_max_bytes(3 * BURST + 2 * PACKET).unwrap();
    assert_eq!(wakes(&line), [1, 1, 1, 0]);
    assert_eq!(pool.stats().waiters, 1);
    assert_eq!(pool.stats().in_use_bytes, 2 * BURST + 2 * PACKET);
}

#[test]
fn lowered_below_what_is_in_use_it_takes_nothing_and_data_waits_for_usage_to_fall() {
    let pool = pool(4 * BURST, BURST);
    let mut held: Vec<_> = (0..4).map(|_| data(&pool, Class::Burst)).collect();
    held[3].as_mut_slice().fill(7);
    pool.set_max_bytes(3 * BURST).unwrap();
    assert_eq!(*held[3].as_mut_slice(), [7; BURST]);
    let stats = pool.stats();
    assert_eq!(
        (stats.in_use_bytes, stats.data_bytes),
        (4 * BURST, 4 * BURST)
    );
    assert_eq!(
        (stats.max_bytes, stats.allocated_bytes),
        (3 * BURST, 4 * BURST)
    );
    let line = [waiting(&pool, Class::Burst)];
    for (left, woken) in [(3, 0), (2, 0), (1, 1)] {
        drop(held.remove(0));
        assert_eq!(held.len(), left);
        assert_eq!(wakes(&line), [woken], "with {left} in use");
    }
    let stats = pool.stats();
    assert_eq!(stats.in_use_bytes, 2 * BURST, "one is set aside");
    assert_eq!(stats.allocated_bytes, 3 * BURST);
    assert_eq!(
        stats.returned_bytes, BURST as u64,
        "the one above the ceiling was not kept"
    );
}

#[test]
fn lowered_it_frees_what_is_idle_above_it_at_once() {
    let pool = pool(6 * BURST, BURST);
    let packet = data(&pool, Class::Packet);
    drop([(); 4].map(|()| data(&pool, Class::Burst)));
    drop([(); 4].map(|()| data(&pool, Class::Packet)));
    drop(packet);
    let idle = 4 * BURST + 5 * PACKET;
    assert_eq!(pool.stats().allocated_bytes, idle);
    pool.set_max_bytes(idle).unwrap();
    assert_eq!(pool.stats().allocated_bytes, idle);
    pool.set_max_bytes(2 * BURST).unwrap();
    let stats = pool.stats();
    assert_eq!(stats.allocated_bytes, 5 * PACKET, "bursts first");
    assert_eq!((stats.returned_bytes, stats.trims), (4 * BURST as u64, 0));
}

#[test]
fn the_reserve_is_there_while_data_is_above_a_lowered_ceiling() {
    let pool = pool(8 * BURST, BURST);
    let held: Vec<_> = (0..8).map(|_| data(&pool, Class::Burst)).collect();
    pool.set_max_bytes(2 * BURST).unwrap();
    let control: Vec<_> =
        std::iter::from_fn(|| pool.alloc(Class::Packet, Purpose::Control)).collect();
    assert_eq!(control.len(), BURST / PACKET);
    assert!(pool.alloc(Class::Packet, Purpose::Data).is_none());
    drop(control);
    assert_eq!(pool.stats().allocated_bytes, 8 * BURST);
    drop(held);
    let stats = pool.stats();
    assert_eq!((stats.in_use_bytes, stats.allocated_bytes), (0, 2 * BURST));
}

#[test]
fn what_was_set_aside_is_given_after_the_ceiling_was_lowered() {
    let pool = pool(4 * BURST, BURST);
    let mut held: Vec<_> = (0..4).map(|_| data(&pool, Class::Burst)).collect();
    let (mut waiter, wakes) = waiting(&pool, Class::Burst);
    held.pop();
    assert_eq!(wakes.count(), 1);
    pool.set_max_bytes(2 * BURST).unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(pool
        .poll_alloc(Class::Burst, &mut waiter, &mut cx)
        .is_ready());
    assert_eq!(pool.stats().allocated_bytes, 3 * BURST);
}

#[test]
fn an_invalid_ceiling_names_the_range_and_changes_nothing() {
    let pool = pool(4 * BURST, 2 * BURST);
    for max_bytes in [0, 3 * BURST - 1, usize::MAX] {
        let error = pool.set_max_bytes(max_bytes).unwrap_err();
        let allowed = 3 * BURST..=isize::MAX as usize;
        let expected = ConfigError {
            field: "max_bytes",
            value: max_bytes,
            allowed,
        };
        assert_eq!(error, expected);
        assert_eq!(pool.stats().max_bytes, 6 * BURST);
    }
    pool.set_max_bytes(3 * BURST).unwrap();
    pool.set_max_bytes(isize::MAX as usize).unwrap();
    assert_eq!(pool.stats().max_bytes, isize::MAX as usize);
    assert_eq!(pool.config().max_bytes, 6 * BURST, "as it was made");
    drop(data(&pool, Class::Burst));
}
