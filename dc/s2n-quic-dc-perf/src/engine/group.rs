// SPDX-License-Identifier: Apache-2.0

//! Tasks whose ends are waited for together.
//!
//! The one rule: only the last end wakes whoever waits. With ten thousand streams, a thread that is woken for each has a part in what is
//! measured.

use std::{
    future::Future,
    sync::{
        atomic::{
            AtomicUsize,
            Ordering::{AcqRel, Acquire},
        },
        Arc,
    },
};
use tokio::{
    sync::Notify,
    task::{JoinError, JoinSet},
};

/// Tasks, which end when the group is dropped.
#[derive(Default)]
pub(super) struct Group {
    tasks: JoinSet<()>,
    running: Arc<Running>,
}

#[derive(Default)]
struct Running {
    count: AtomicUsize,
    none: Notify,
}

/// One task that runs, until it ends or panics.
struct Guard(Arc<Running>);

impl Drop for Guard {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, AcqRel) == 1 {
            self.0.none.notify_one();
        }
    }
}

impl Group {
    pub(super) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.running.count.fetch_add(1, AcqRel);
        let guard = Guard(self.running.clone());
        self.tasks.spawn(async move {
            let _guard = guard;
            task.await;
        });
    }

    /// Waits until no task runs any more; never ready if there was none. Cancel safe.
    pub(super) async fn end(&self) {
        loop {
            self.running.none.notified().await;
            // the first tasks may have ended before the next ones were spawned
            if self.running() == 0 {
                return;
            }
        }
    }

    /// How each task has ended; waits for those that run. Not cancel safe: ends are lost with the future.
    pub(super) async fn join_all(&mut self) -> Vec<Result<(), JoinError>> {
        let mut ends = Vec::with_capacity(self.tasks.len());
        while let Some(end) = self.tasks.join_next().await {
            ends.push(end);
        }
        ends
    }

    /// How tasks have ended since the last time. Until then each takes its memory.
    pub(super) fn join_ended(&mut self) -> Vec<Result<(), JoinError>> {
        std::iter::from_fn(|| self.tasks.try_join_next()).collect()
    }

    /// Tasks that have not ended.
    pub(super) fn running(&self) -> usize {
        self.running.count.load(Acquire)
    }

    /// Ends every task.
    pub(super) async fn shutdown(&mut self) {
        self.tasks.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::{sync::oneshot, time::timeout};

    #[tokio::test(start_paused = true)]
    async fn the_last_end_is_told_and_every_end_is_known() {
        let mut group = Group::default();
        group.spawn(async {});
        tokio::task::yield_now().await;
        let (go, wait) = oneshot::channel::<()>();
        group.spawn(async { drop(wait.await) });
        group.spawn(async { panic!("asked for") });
        assert!(timeout(Duration::from_secs(1), group.end()).await.is_err());
        assert_eq!(group.running(), 1);
        let ends = group.join_ended();
        assert_eq!(ends.len(), 2);
        assert!(ends.iter().any(|end| end.is_err()));
        go.send(()).unwrap();
        group.end().await;
        let ends = group.join_all().await;
        assert!(ends.len() == 1 && ends[0].is_ok());
        assert_eq!(group.running(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_without_tasks_has_no_end() {
        let group = Group::default();
        assert!(timeout(Duration::from_secs(1), group.end()).await.is_err());
    }
}
