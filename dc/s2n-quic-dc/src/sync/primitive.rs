// SPDX-License-Identifier: Apache-2.0

//! Atomics, locks and shared pointers, from one place that loom can replace.
//!
//! The one rule: shared-memory code imports these and nothing of `std::sync` or `parking_lot`, so that what the model
//! checker explores is the code that ships.

#[cfg(loom)]
pub(crate) use checked::{AccessCheck, Arc, AtomicU32, Mutex, Ordering};
#[cfg(not(loom))]
pub(crate) use native::{AccessCheck, Arc, AtomicU32, Mutex, Ordering};

#[cfg(not(loom))]
mod native {
    pub(crate) use parking_lot::Mutex;
    pub(crate) use std::sync::{
        atomic::{AtomicU32, Ordering},
        Arc,
    };

    /// Accesses to plain memory, reported to loom. Costs nothing outside of it.
    pub(crate) struct AccessCheck;

    impl AccessCheck {
        pub(crate) fn new() -> Self {
            Self
        }

        /// The caller reads the memory, or writes a range of it that nobody else touches.
        pub(crate) fn shared(&self) {}

        /// The caller is the only one to touch the memory.
        pub(crate) fn exclusive(&self) {}
    }
}

#[cfg(loom)]
mod checked {
    use loom::cell::UnsafeCell;
    pub(crate) use loom::sync::{
        atomic::{AtomicU32, Ordering},
        Arc,
    };
    use std::sync::PoisonError;

    /// `parking_lot`'s interface over loom's lock: there is no poisoning.
    #[derive(Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        /// `None` if it is locked.
        pub(crate) fn try_lock(&self) -> Option<loom::sync::MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }
    }

    /// Accesses to plain memory, reported to loom: it fails the model when two of them are not ordered.
    pub(crate) struct AccessCheck(UnsafeCell<()>);

    impl AccessCheck {
        pub(crate) fn new() -> Self {
            Self(UnsafeCell::new(()))
        }

        /// The caller reads the memory, or writes a range of it that nobody else touches.
        pub(crate) fn shared(&self) {
            self.0.with(|_| ());
        }

        /// The caller is the only one to touch the memory.
        pub(crate) fn exclusive(&self) {
            self.0.with_mut(|_| ());
        }
    }
}
