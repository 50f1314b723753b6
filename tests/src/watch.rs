// SPDX-License-Identifier: Apache-2.0

//! Runs a test on a multi-thread runtime, under a watchdog.
//!
//! The rule: time only bounds a test, it never decides one. When the bound is reached, the failure says what was going
//! on: the last notes, and the state of everything that was registered. The watchdog is the test's own thread, so that
//! a task that spins or blocks cannot keep it from firing.
//!
//! A panic on a background thread of the library does not fail a test by itself. It is recorded, and the test that ends
//! next fails with it.

use std::{
    backtrace::Backtrace,
    fmt::Write as _,
    future::Future,
    panic,
    sync::{mpsc, Arc, Mutex, Once, PoisonError},
    time::{Duration, Instant},
};
use tokio::runtime;

/// How long a test may take. Arbitrary: far above what any of them needs on two busy cores.
pub const LIMIT: Duration = Duration::from_secs(60);

/// What a test tells about its progress. Shown only when the test fails.
#[derive(Clone)]
pub struct Log(Arc<Mutex<Entries>>);

impl Log {
    /// Notes that something happened or begins.
    pub fn note(&self, text: impl Into<String>) {
        let mut entries = self.entries();
        let elapsed = entries.start.elapsed();
        entries.notes.push((elapsed, text.into()));
        let surplus = entries.notes.len().saturating_sub(MAX_NOTES);
        entries.notes.drain(..surplus);
    }

    /// Registers a state to show when the test fails.
    pub fn watch(&self, name: &str, state: impl Fn() -> String + Send + 'static) {
        self.entries()
            .states
            .push((name.to_owned(), Box::new(state)));
    }

    fn report(&self) -> String {
        let entries = self.entries();
        let mut out = String::new();
        for (elapsed, text) in &entries.notes {
            let _ = writeln!(out, "  {:>9.3} s  {text}", elapsed.as_secs_f64());
        }
        for (name, state) in &entries.states {
            let _ = writeln!(out, "  {name}: {}", state());
        }
        out
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Entries {
    start: Instant,
    notes: Vec<(Duration, String)>,
    states: Vec<(String, State)>,
}

type State = Box<dyn Fn() -> String + Send>;

/// Runs `body` to its end.
///
/// # Panics
///
/// When `body` panics, when it takes longer than [`LIMIT`], or when the rebuilt library panicked on any thread.
pub fn run<F, T>(body: impl FnOnce(Log) -> F) -> T
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    record_panics();
    let log = Log(Arc::new(Mutex::new(Entries {
        start: Instant::now(),
        notes: Vec::new(),
        states: Vec::new(),
    })));
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("test")
        .enable_all()
        .build()
        .expect("a runtime needs threads and an epoll instance");

    let (done, outcome) = mpsc::channel();
    let task = {
        let _in_runtime = runtime.enter();
        tokio::spawn(body(log.clone()))
    };
    runtime.spawn(async move {
        let _ = done.send(task.await);
    });

    let outcome = outcome.recv_timeout(LIMIT);
    // never wait for a task here: one that blocks would hide the report
    runtime.shutdown_background();
    let value = match outcome {
        Ok(Ok(value)) => value,
        Ok(Err(failure)) => {
            eprintln!("what happened before:\n{}", log.report());
            panic::resume_unwind(failure.into_panic());
        }
        Err(_) => panic!("not done after {LIMIT:?}:\n{}", log.report()),
    };
    let panics = library_panics();
    assert!(
        panics.is_empty(),
        "the library panicked:\n{}",
        panics.join("\n")
    );
    value
}

/// The panics of the rebuilt library in this process so far, on any thread.
pub fn library_panics() -> Vec<String> {
    PANICS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

/// Adds a recorder in front of the hook that prints.
fn record_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let trace = Backtrace::force_capture().to_string();
            // the published crate has debug assertions of its own that fail now and then; those are printed only
            let is_of_library = REBUILT.iter().any(|path| trace.contains(path));
            if is_of_library && !info.to_string().contains(ANSWER) {
                PANICS
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(info.to_string());
            }
            print(info);
        }));
    });
}

static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// How source files of this tree's libraries look in a backtrace. The registry's paths have a version in the directory.
const REBUILT: [&str; 2] = ["dc/s2n-quic-dc/src/", "quic/s2n-quic-core/src/"];

/// How tokio tells who asks that a runtime has no driver; the library asks, and goes on without.
const ANSWER: &str = "A Tokio 1.x context was found, but";

/// Enough to see what led to a failure.
const MAX_NOTES: usize = 64;
