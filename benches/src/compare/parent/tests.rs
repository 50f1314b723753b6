// SPDX-License-Identifier: Apache-2.0

//! Children that do everything but what they should. The shell plays them.

use super::*;
use crate::{compare::child, system::System};
use std::{fs, path::Path};
use tokio::runtime::Builder;

const LONG: Duration = Duration::from_secs(60);

fn run_shell(script: &str, limit: Duration) -> Result<Record, ChildError> {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    runtime.block_on(run(command, limit))
}

fn error(script: &str, limit: Duration) -> String {
    run_shell(script, limit).unwrap_err().to_string()
}

fn record() -> Record {
    let workload = crate::system::tests::workload(s2n_quic_dc_perf::workload::Kind::Upload);
    child::failed(System::Quinn, &workload, "does not apply".to_owned())
}

#[test]
fn a_record_is_read_back_as_it_was_written() {
    let record = Record {
        gbps: Some(1.5),
        ..record()
    };
    let json = serde_json::to_string(&record).unwrap();
    assert!(!json.contains('\''));
    let read = run_shell(&format!("echo '{json}'; echo chatter >&2"), LONG);
    assert_eq!(read.unwrap(), record);
}

#[test]
fn an_exit_code_is_a_crash_even_after_a_record() {
    let json = serde_json::to_string(&record()).unwrap();
    let script = format!("echo '{json}'; echo one >&2; echo two >&2; exit 3");
    assert_eq!(error(&script, LONG), "exit code 3: one / two");
}

#[test]
fn a_signal_is_named() {
    assert_eq!(error("kill -SEGV $$", LONG), "ended by SIGSEGV");
}

#[test]
fn nonsense_is_no_record() {
    for script in [
        "echo hello",
        "true",
        "echo '{\"system\": 1}'",
        "head -c 3000000 /dev/zero",
    ] {
        let text = error(script, LONG);
        assert!(text.starts_with("printed no record: "), "{script}: {text}");
    }
}

#[test]
fn a_command_that_does_not_exist_is_not_started() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let command = Command::new("/nonexistent/compare");
    let error = runtime.block_on(run(command, LONG)).unwrap_err();
    assert!(error.to_string().starts_with("not started: "), "{error}");
}

#[test]
fn one_that_hangs_is_killed_with_all_that_it_started() {
    // the one in the background holds the pipes as well
    let script = "sleep 1000 & echo $! >&2; wait";
    let text = error(script, Duration::from_secs(1));
    let background = text.strip_prefix("killed after 1 s: ").unwrap();
    assert_ends(background);
}

#[test]
fn what_a_child_leaves_behind_does_not_outlive_it() {
    // it lets go of the pipes, so that nothing waits for it
    let json = serde_json::to_string(&record()).unwrap();
    let script = format!("sleep 1000 >/dev/null 2>&1 & echo $! >&2; echo '{json}'; exit 9");
    let text = error(&script, LONG);
    assert_ends(text.strip_prefix("exit code 9: ").unwrap());
}

/// Waits until the process is gone, or dead and not yet waited for by whoever inherited it.
fn assert_ends(process: &str) {
    let stat = Path::new("/proc").join(process).join("stat");
    for _ in 0..1000 {
        let is_dead = fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
        if is_dead {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{process} still runs");
}

#[test]
fn last_words_are_the_last_lines_and_not_too_many() {
    assert_eq!(LastWords::of(b"").to_string(), "");
    assert_eq!(
        LastWords::of(b"a\n\n b \nc\nd\n").to_string(),
        ": b / c / d"
    );
    let long = "x".repeat(1000);
    assert_eq!(LastWords::of(long.as_bytes()).to_string().len(), 2 + 400);
    assert_eq!(LastWords::of(&[0xff, b'a']).to_string(), ": \u{fffd}a");
}
