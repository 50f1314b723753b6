// SPDX-License-Identifier: Apache-2.0

//! The command under test as a process.
//!
//! The one rule: every process ends, by itself or by force: a test that hangs fails with what the process printed.

use nix::{
    sys::signal::{kill, Signal},
    unistd::Pid,
};
use std::{
    io::{BufRead as _, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

/// A running process. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
    /// What it has printed so far, both streams.
    printed: String,
    deadline: Instant,
}

impl Process {
    /// Starts `command`, which has [`LIMIT`] from now on to do its part.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (sender, lines) = mpsc::channel();
        let outputs: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().unwrap()),
            Box::new(child.stderr.take().unwrap()),
        ];
        for output in outputs {
            let sender = sender.clone();
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        Self {
            child,
            lines,
            printed: String::new(),
            deadline: Instant::now() + LIMIT,
        }
    }

    /// Waits for a line that contains `text`, and returns what follows it.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("nothing about {text:?} was printed:\n{}", self.printed);
            };
            let rest = line.split_once(text).map(|(_, rest)| rest.to_owned());
            self.printed += &line;
            self.printed += "\n";
            if let Some(rest) = rest {
                return rest;
            }
        }
    }

    /// Waits until the process ends, and returns how, with all that it printed.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        // the pipes close when the process ends
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.printed += &line;
                    self.printed += "\n";
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    panic!("not done after {LIMIT:?}:\n{}", self.printed);
                }
            }
        }
        let status = self.child.wait().unwrap();
        (status, std::mem::take(&mut self.printed))
    }

    /// Presses Ctrl-C.
    pub(crate) fn interrupt(&self) {
        let id = Pid::from_raw(self.child.id().try_into().unwrap());
        kill(id, Signal::SIGINT).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How long a process may take. Arbitrary: far above what any of them needs on two busy cores.
const LIMIT: Duration = Duration::from_secs(60);
