// SPDX-License-Identifier: Apache-2.0

//! Giving idle memory back: how much, in which order, when, and that it ends.

use super::*;
use crate::{clock::at_tick, socket::pool::trim};
use s2n_quic_core::time::Timestamp;

/// Polls the trimmer of a pool.
struct Keeper {
    trimmer: Trimmer,
    wakes: StdArc<Wakes>,
    waker: Waker,
}

impl Keeper {
    fn of(pool: &Pool) -> Self {
        let (wakes, waker) = Wakes::new();
        let trimmer = pool.trimmer();
        Self {
            trimmer,
            wakes,
            waker,
        }
    }

    fn poll(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.trimmer.poll(&self.waker, now)
    }
}

fn at(millis: u64) -> Timestamp {
    at_tick(1_000_000 + millis * 1000)
}

/// Takes so many at once and gives them back in their order.
fn use_at_once(pool: &Pool, class: Class, count: usize) {
    let held: Vec<_> = (0..count).map(|_| data(pool, class)).collect();
    held.into_iter().for_each(drop);
}

fn packets(pool: &Pool) -> usize {
    pool.stats().allocated_bytes / PACKET
}

#[test]
fn half_is_surplus_and_the_last_one_too() {
    let surplus: Vec<_> = (0..=6).map(trim::surplus).collect();
    assert_eq!(surplus, [0, 1, 1, 2, 2, 3, 3]);
}

#[test]
fn what_nobody_uses_halves_with_each_interval_until_nothing_is_left() {
    let pool = pool(16 * PACKET, BURST);
    let mut keeper = Keeper::of(&pool);
    use_at_once(&pool, Class::Packet, 10);
    assert_eq!(keeper.poll(at(0)), Some(at(1000)));
    // all of them were in use in the first interval, as far as the pool knows
    let mut left = Vec::new();
    for second in 1..=5 {
        let next = (second < 5).then(|| at((second + 1) * 1000));
        assert_eq!(keeper.poll(at(second * 1000)), next);
        left.push(packets(&pool));
    }
    assert_eq!(left, [10, 5, 2, 1, 0]);
    let stats = pool.stats();
    assert_eq!((stats.trims, stats.returned_bytes), (4, 10 * PACKET as u64));
}

#[test]
fn nothing_happens_before_the_interval_is_over() {
    let pool = pool(16 * PACKET, BURST);
    let mut keeper = Keeper::of(&pool);
    use_at_once(&pool, Class::Packet, 10);
    assert_eq!(keeper.poll(at(0)), Some(at(1000)));
    assert_eq!(keeper.poll(at(1000)), Some(at(2000)));
    assert_eq!(keeper.poll(at(1999)), Some(at(2000)));
    assert_eq!(packets(&pool), 10);
    assert_eq!(keeper.poll(at(2000)), Some(at(3000)));
    assert_eq!(packets(&pool), 5);
}

#[test]
fn what_was_in_use_since_the_last_trim_stays() {
    let pool = pool(16 * PACKET, BURST);
    let mut keeper = Keeper::of(&pool);
    use_at_once(&pool, Class::Packet, 10);
    keeper.poll(at(0));
    keeper.poll(at(1000));
    for second in 2..20 {
        // one after the other is one at once, and so is one that stays out
        use_at_once(&pool, Class::Packet, 4);
        use_at_once(&pool, Class::Packet, 3);
        keeper.poll(at(second * 1000));
    }
    assert_eq!(packets(&pool), 4);
    let held = data(&pool, Class::Packet);
    for second in 20..40 {
        keeper.poll(at(second * 1000));
    }
    assert_eq!(packets(&pool), 1, "what is out is not idle");
    drop(held);
    assert_eq!(pool.stats().hits as usize, 18 * 7 + 1, "all were recycled");
}

#[test]
fn the_longest_idle_goes_first() {
    let pool = pool(16 * PACKET, BURST);
    let mut keeper = Keeper::of(&pool);
    let mut held: Vec<_> = (0..4).map(|_| data(&pool, Class::Packet)).collect();
    let addresses: Vec<_> = held
        .iter_mut()
        .map(|unfilled| unfilled.as_mut_slice().as_ptr())
        .collect();
    held.into_iter().for_each(drop);
    for second in 0..3 {
        keeper.poll(at(second * 1000));
    }
    assert_eq!(packets(&pool), 2);
    let mut left = [data(&pool, Class::Packet), data(&pool, Class::Packet)];
    let left = left.each_mut().map(|left| left.as_mut_slice().as_ptr());
    assert_eq!(left, [addresses[3], addresses[2]]);
}

#[test]
fn each_class_decays_by_itself() {
    let pool = pool(8 * BURST, BURST);
    let mut keeper = Keeper::of(&pool);
    use_at_once(&pool, Class::Packet, 4);
    use_at_once(&pool, Class::Burst, 4);
    keeper.poll(at(0));
    for second in 1..10 {
        use_at_once(&pool, Class::Packet, 4);
        while keeper.poll(at(second * 1000)) == Some(at(second * 1000)) {}
    }
    assert_eq!(pool.stats().allocated_bytes, 4 * PACKET);
}

#[test]
fn without_idle_memory_there_is_no_timer_and_the_first_that_comes_home_wakes() {
    let pool = pool(16 * PACKET, BURST);
    let mut keeper = Keeper::of(&pool);
    assert_eq!(keeper.poll(at(0)), None);
    let held = [data(&pool, Class::Packet), data(&pool, Class::Packet)];
    assert_eq!(keeper.poll(at(5000)), None);
    assert_eq!(keeper.wakes.count(), 0);
    held.into_iter().for_each(drop);
    use_at_once(&pool, Class::Packet, 2);
    assert_eq!(keeper.wakes.count(), 1, "once, and not for each");
    assert_eq!(keeper.poll(at(9000)), Some(at(10_000)));
    let mut now = at(10_000);
    while let Some(next) = keeper.poll(now) {
        now = next;
        assert!(now < at(20_000));
    }
    assert_eq!((packets(&pool), keeper.wakes.count()), (0, 1));
    use_at_once(&pool, Class::Packet, 1);
    assert_eq!(keeper.wakes.count(), 2, "it was asleep again");
}

#[test]
fn the_waker_of_the_last_look_is_the_one_woken() {
    let pool = pool(16 * PACKET, BURST);
    let mut keeper = Keeper::of(&pool);
    assert_eq!(keeper.poll(at(0)), None);
    let before = keeper.wakes.clone();
    (keeper.wakes, keeper.waker) = Wakes::new();
    assert_eq!(keeper.poll(at(1)), None);
    use_at_once(&pool, Class::Packet, 1);
    assert_eq!((before.count(), keeper.wakes.count()), (0, 1));
}

#[test]
fn a_trimmer_that_is_dropped_is_forgotten() {
    let pool = pool(16 * PACKET, BURST);
    let mut keeper = Keeper::of(&pool);
    assert_eq!(keeper.poll(at(0)), None);
    drop(keeper.trimmer);
    use_at_once(&pool, Class::Packet, 1);
    assert_eq!(keeper.wakes.count(), 0);
    drop(keeper.waker);
    assert_eq!(StdArc::strong_count(&keeper.wakes), 1);
}

#[test]
fn a_large_trim_comes_in_batches_and_spares_what_was_taken_since() {
    const COUNT: usize = 70_000;
    let pool = pool(COUNT * PACKET, BURST);
    let mut keeper = Keeper::of(&pool);
    use_at_once(&pool, Class::Packet, COUNT);
    keeper.poll(at(0));
    keeper.poll(at(1000));
    assert_eq!(keeper.poll(at(2000)), Some(at(2000)), "there is more");
    let batch = COUNT - packets(&pool);
    assert_eq!(batch * PACKET, 1 << 20);
    // all but ten of those that are left are needed again
    use_at_once(&pool, Class::Packet, COUNT - batch - 10);
    assert_eq!(pool.stats().misses as usize, COUNT);
    assert_eq!(keeper.poll(at(2001)), Some(at(3001)), "that was all");
    assert_eq!(packets(&pool), COUNT - batch - 10);
    assert_eq!(pool.stats().trims, 1);
}

#[test]
fn a_descriptor_that_is_larger_than_a_batch_is_still_freed() {
    let pool = pool(8 * BURST, BURST);
    use_at_once(&pool, Class::Burst, 4);
    pool.shared.begin_trim();
    let mut surplus = pool.shared.begin_trim();
    assert_eq!((surplus.packets, surplus.bursts), (0, 2));
    surplus = pool.shared.free_batch(surplus, 1);
    assert_eq!(surplus.bursts, 1);
    assert_eq!(pool.stats().allocated_bytes, 3 * BURST);
}

#[test]
fn the_interval_has_a_range() {
    let with = |trim_interval| {
        let config = Config {
            trim_interval,
            ..Config::default()
        };
        config.validate().map_err(|error| error.to_string())
    };
    let millis = std::time::Duration::from_millis;
    assert_eq!(with(millis(1)), Ok(()));
    assert_eq!(with(millis(3_600_000)), Ok(()));
    assert!(with(millis(3_600_001)).is_err());
    assert!(with(std::time::Duration::MAX).is_err());
    let expected = "pool trim_interval in µs is 999, allowed are 1000 to 3600000000";
    let error = with(std::time::Duration::from_micros(999)).unwrap_err();
    assert_eq!(error, expected);
}

#[test]
fn the_configured_interval_is_the_one_that_passes() {
    let pool = Pool::new(Config {
        trim_interval: std::time::Duration::from_millis(20),
        ..Config::default()
    })
    .unwrap();
    let mut keeper = Keeper::of(&pool);
    use_at_once(&pool, Class::Packet, 2);
    assert_eq!(keeper.poll(at(0)), Some(at(20)));
    assert_eq!(keeper.poll(at(25)), Some(at(45)));
}
