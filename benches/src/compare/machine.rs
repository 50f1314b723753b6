// SPDX-License-Identifier: Apache-2.0

//! What the figures were made on: kernel, processors, socket buffers.
//!
//! The one rule: what cannot be read is "unknown"; nothing is guessed.

use crate::buffers;
use s2n_quic_dc_perf::runtime::EVENT_INTERVAL;
use std::{fs, thread};

/// Names and values, for people.
#[must_use]
pub fn describe() -> Vec<(String, String)> {
    let cpu = fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|info| cpu_model(&info));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").ok();
    let cores = thread::available_parallelism().ok();
    let granted = buffers::socket(buffers::ASKED).and_then(|socket| buffers::granted(&socket));
    [
        ("cpu", cpu),
        ("cores", cores.map(|cores| cores.to_string())),
        ("kernel", kernel.map(|kernel| kernel.trim().to_owned())),
        (
            "threads",
            cores.map(|cores| {
                format!("{cores} tokio workers that look at sockets every {EVENT_INTERVAL} turns, unless a system says otherwise")
            }),
        ),
        (
            "socket buffers",
            granted
                .ok()
                .map(|granted| format!("asked for {} bytes; granted: {granted}", buffers::ASKED)),
        ),
        (
            "network",
            Some("loopback, both ends in one process".to_owned()),
        ),
    ]
    .map(|(name, value)| {
        let value = value.unwrap_or_else(|| "unknown".to_owned());
        (name.to_owned(), value)
    })
    .to_vec()
}

fn cpu_model(info: &str) -> Option<String> {
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    let (_, model) = line.split_once(':')?;
    Some(model.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_found_where_the_kernel_writes_it() {
        let info = "processor\t: 0\nmodel name\t: A Processor @ 2.0GHz\nflags\t: aes\n";
        assert_eq!(cpu_model(info).as_deref(), Some("A Processor @ 2.0GHz"));
        assert_eq!(cpu_model("processor\t: 0\n"), None);
    }

    #[test]
    fn this_machine_is_described() {
        let lines = describe();
        let value = |wanted| {
            let line = lines.iter().find(|(name, _)| name == wanted);
            line.map(|(_, value)| value.as_str()).unwrap()
        };
        assert_ne!(value("kernel"), "unknown");
        assert!(value("socket buffers").starts_with("asked for 4194304 bytes; granted: send "));
    }
}
