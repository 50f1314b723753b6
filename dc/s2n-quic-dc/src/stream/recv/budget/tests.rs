// SPDX-License-Identifier: Apache-2.0

//! The account of windows: shares, refusals, and a model of many holders.

use super::*;
use bolero::{check, TypeGenerator};

const MAX: u64 = 1 << 20;

fn budget() -> Arc<Budget> {
    Budget::new(MAX as usize)
}

#[test]
fn one_holder_gets_what_it_wants_up_to_half() {
    let budget = budget();
    let mut holding = budget.holding();
    assert_eq!(holding.grow(100_000), 100_000);
    assert_eq!(budget.taken(), 100_000);
    let mut rest = 0;
    for _ in 0..100 {
        rest += holding.grow(MAX);
    }
    assert!(100_000 + rest <= MAX / 2);
    assert!(100_000 + rest > MAX / 2 - 2 * MIN_GRANT);
    assert!(budget.refused() > 0);
    drop(holding);
    assert_eq!(budget.taken(), 0);
}

#[test]
fn of_many_that_want_all_each_gets_its_part_and_one_part_stays_free() {
    let budget = budget();
    let mut holdings: Vec<_> = (0..9).map(|_| budget.holding()).collect();
    for _ in 0..100 {
        for holding in &mut holdings {
            holding.grow(16 << 10);
        }
    }
    let part = MAX / 10;
    for holding in &holdings {
        assert!(holding.bytes.abs_diff(part) <= 16 << 10, "{holding:?}");
    }
    assert!((MAX - budget.taken()).abs_diff(part) <= 5 * MIN_GRANT);
}

#[test]
fn a_late_comer_finds_something_free() {
    let budget = budget();
    let mut early: Vec<_> = (0..4).map(|_| budget.holding()).collect();
    for _ in 0..100 {
        for holding in &mut early {
            holding.grow(MAX);
        }
    }
    assert!(budget.holding().grow(MAX) >= MAX / 32);
}

#[test]
fn an_empty_budget_refuses_and_counts() {
    let budget = Budget::new(0);
    let mut holding = budget.holding();
    assert_eq!(holding.grow(1), 0);
    assert_eq!(holding.grow(MAX), 0);
    assert_eq!(budget.refused(), 2);
    assert_eq!(budget.taken(), 0);
}

#[test]
fn nothing_is_no_request() {
    let budget = budget();
    assert_eq!(budget.holding().grow(0), 0);
    assert_eq!(budget.refused(), 0);
}

#[test]
fn a_crumb_is_refused_unless_it_is_all_that_was_wanted() {
    assert_eq!(grant(MIN_GRANT, 0, 2 * MIN_GRANT), Some(MIN_GRANT));
    assert_eq!(grant(MIN_GRANT, 0, 2 * MIN_GRANT - 2), None);
    assert_eq!(grant(100, 0, 2 * MIN_GRANT - 2), Some(100));
    assert_eq!(grant(u64::MAX, u64::MAX, u64::MAX), None);
}

#[derive(Clone, Copy, Debug, TypeGenerator)]
enum Operation {
    Insert,
    Grow { holder: u8, want: u32 },
    Drop { holder: u8 },
}

#[test]
fn the_account_equals_the_sum_of_all_holders() {
    check!()
        .with_type::<(u32, Vec<Operation>)>()
        .for_each(|(max, operations)| {
            let budget = Budget::new(*max as usize);
            let mut holders: Vec<(Holding, u64)> = Vec::new();
            for operation in operations {
                match *operation {
                    Operation::Insert => holders.push((budget.holding(), 0)),
                    Operation::Grow { holder, want } if !holders.is_empty() => {
                        let index = usize::from(holder) % holders.len();
                        let (holding, model) = &mut holders[index];
                        let refused = budget.refused();
                        let granted = holding.grow(u64::from(want));
                        assert!(granted <= u64::from(want));
                        *model += granted;
                        assert!(granted == 0 || *model <= u64::from(*max) - budget.taken());
                        let is_refused = granted == 0 && want > 0;
                        assert_eq!(budget.refused() - refused, u64::from(is_refused));
                    }
                    Operation::Drop { holder } if !holders.is_empty() => {
                        let index = usize::from(holder) % holders.len();
                        drop(holders.swap_remove(index));
                    }
                    Operation::Grow { .. } | Operation::Drop { .. } => {}
                }
                let sum: u64 = holders.iter().map(|(_, model)| model).sum();
                assert_eq!(budget.taken(), sum);
                assert!(sum <= u64::from(*max));
            }
            drop(holders);
            assert_eq!(budget.taken(), 0);
        });
}
