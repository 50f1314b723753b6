// SPDX-License-Identifier: Apache-2.0

//! Wakes a worker that sleeps, and costs one load when it does not.
//!
//! The worker arms the bell, looks once more at everything that it waits for, and only then sleeps. A producer first makes its work
//! visible and then rings. Either the worker's last look sees the work, or the producer sees the armed bell: both
//! orders go through one atomic with sequential consistency.
//!
//! The one rule: between [`Doorbell::arm`] and sleeping, the worker looks at its queues again.

use super::primitive::{AtomicU32, Mutex, Ordering};
use std::{sync::Arc, task::Waker};

const AWAKE: u32 = 0;
const ARMED: u32 = 1;

/// Ends the worker's sleep; called by producers, holding no lock
pub(crate) trait Wake: Send + Sync {
    fn wake(&self);
}

pub(crate) struct Doorbell {
    state: AtomicU32,
    wake: Box<dyn Wake>,
}

impl Doorbell {
    pub(crate) fn new(wake: Box<dyn Wake>) -> Self {
        Self {
            state: AtomicU32::new(AWAKE),
            wake,
        }
    }

    /// The worker is about to sleep
    pub(crate) fn arm(&self) {
        // a read-modify-write, like the one in `ring`: of two, one sees the other's
        self.state.swap(ARMED, Ordering::SeqCst);
    }

    /// The worker is awake again, or did not sleep after all
    pub(crate) fn disarm(&self) {
        self.state.swap(AWAKE, Ordering::SeqCst);
    }

    /// Whether the worker sleeps, or is about to
    ///
    /// Says so to every producer whose work the worker's last look has missed, if work is handed over and looked at under one lock.
    pub(crate) fn is_armed(&self) -> bool {
        self.state.load(Ordering::SeqCst) == ARMED
    }

    /// There is something for the worker to look at
    pub(crate) fn ring(&self) {
        if self.state.swap(AWAKE, Ordering::SeqCst) == ARMED {
            self.wake.wake();
        }
    }
}

/// Wakes the task, or the thread, that was the last to leave a waker here
#[derive(Default)]
pub(crate) struct Bell(Mutex<Option<Waker>>);

impl Bell {
    /// To be called before the [`Doorbell`] is armed
    pub(crate) fn register(&self, waker: &Waker) {
        // the old one may be the last of its task, whose drop is not to run under the lock
        let _old = self.0.lock().replace(waker.clone());
    }
}

impl Wake for Arc<Bell> {
    fn wake(&self) {
        let waker = self.0.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::sync::{
        handoff::{Edge, Handoff},
        primitive,
    };
    use loom::{
        sync::{Arc, Condvar, Mutex},
        thread,
    };

    #[derive(Default)]
    struct Sleeper {
        rung: Mutex<bool>,
        changed: Condvar,
    }

    impl Sleeper {
        fn ring(&self) {
            *self.rung.lock().expect("not poisoned") = true;
            self.changed.notify_one();
        }

        /// Sleeps for ever if a wake was lost: loom reports the deadlock
        fn sleep(&self) {
            let mut rung = self.rung.lock().expect("not poisoned");
            while !*rung {
                rung = self.changed.wait(rung).expect("not poisoned");
            }
            *rung = false;
        }
    }

    impl Wake for Arc<Sleeper> {
        fn wake(&self) {
            self.ring();
        }
    }

    impl std::task::Wake for Sleeper {
        fn wake(self: std::sync::Arc<Self>) {
            self.ring();
        }
    }

    #[test]
    fn loom_a_worker_never_sleeps_on_work() {
        loom::model(|| {
            let (bell, sleeper) = <(std::sync::Arc<Bell>, std::sync::Arc<Sleeper>)>::default();
            let door = Arc::new(Doorbell::new(Box::new(bell.clone())));
            let queue = Arc::new(Handoff::new());

            let producer = {
                let (door, queue) = (door.clone(), queue.clone());
                thread::spawn(move || {
                    if let Ok(Edge::WasEmpty) = queue.push(7) {
                        door.ring();
                    }
                })
            };

            let mut items = Vec::new();
            while items.is_empty() {
                bell.register(&sleeper.clone().into());
                queue.drain_into(&mut items);
                if !items.is_empty() {
                    break;
                }
                door.arm();
                queue.drain_into(&mut items);
                if items.is_empty() {
                    sleeper.sleep();
                }
                door.disarm();
            }
            producer.join().expect("producer");
            assert_eq!(items, [7]);
        });
    }

    /// Producers that find the worker asleep take its place, unless another has, and then wake it
    #[test]
    fn loom_producers_that_assist_leave_no_work_behind() {
        loom::model(|| {
            let sleeper = Arc::<Sleeper>::default();
            let door = Arc::new(Doorbell::new(Box::new(sleeper.clone())));
            let queue = Arc::new(Handoff::new());
            let desk = Arc::new(primitive::Mutex::new(Vec::new()));

            let producers = [7, 8].map(|item| {
                let (door, queue, desk) = (door.clone(), queue.clone(), desk.clone());
                thread::spawn(move || {
                    let _ = queue.push(item);
                    if !door.is_armed() {
                        return;
                    }
                    match desk.try_lock() {
                        Some(mut done) => queue.drain_into(&mut done),
                        None => door.ring(),
                    }
                })
            });

            // the worker has nothing to do, and goes to sleep
            door.arm();
            queue.drain_into(&mut desk.lock());
            for producer in producers {
                producer.join().expect("producer");
            }
            // and if the bell rang, it gets up
            if *sleeper.rung.lock().expect("not poisoned") {
                queue.drain_into(&mut desk.lock());
            }
            let mut done = desk.lock();
            done.sort_unstable();
            assert_eq!(*done, [7, 8]);
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::{
        atomic::{AtomicUsize, Ordering as O},
        Arc,
    };

    struct Count(Arc<AtomicUsize>);

    impl Wake for Count {
        fn wake(&self) {
            self.0.fetch_add(1, O::Relaxed);
        }
    }

    #[test]
    fn only_an_armed_bell_wakes_and_only_once() {
        let wakes = Arc::new(AtomicUsize::new(0));
        let bell = Doorbell::new(Box::new(Count(wakes.clone())));
        bell.ring();
        assert_eq!(wakes.load(O::Relaxed), 0);
        bell.arm();
        bell.ring();
        bell.ring();
        assert_eq!(wakes.load(O::Relaxed), 1);
        bell.arm();
        bell.disarm();
        bell.ring();
        assert_eq!(wakes.load(O::Relaxed), 1);
    }
}
