// SPDX-License-Identifier: Apache-2.0

//! What the process used over a span of time: processor time, memory, and datagrams that the kernel delivered or dropped.
//!
//! The one rule: what cannot be read is `None`, never zero.
//!
//! Where the figures come from:
//!
//! * processor time: `getrusage` with `RUSAGE_SELF`, which covers all threads, those that ended among them;
//! * memory: `VmHWM` of `/proc/self/status`, the most that was resident. The kernel keeps it for the life of the process; writing
//!   `5` to `/proc/self/clear_refs` starts it over (proc_pid_clear_refs(5)); otherwise a small workload would be given the peak
//!   of a large one before it;
//! * datagrams: `/proc/self/net/snmp` and `snmp6`. They are of the network namespace, hence also count what other processes in it
//!   receive. The kernel counts what it queues: several datagrams that it has joined (UDP_GRO, or a send with UDP_SEGMENT over
//!   loopback) are one. As both counters do so, their ratio still stands.

use super::{Datagrams, Usage};
use nix::sys::{
    resource::{getrusage, UsageWho},
    time::TimeVal,
};
use std::{fs, io, time::Duration};

/// Measures from its start to its stop. One at a time: starting another one starts the peak of memory over.
#[derive(Debug)]
pub struct Meter {
    cpu: Option<Duration>,
    /// Whether the peak of memory was started over; if not, it may be of an earlier time.
    is_peak_reset: bool,
    datagrams: Option<Datagrams>,
}

impl Meter {
    /// Starts the span.
    #[must_use]
    pub fn start() -> Self {
        Self {
            is_peak_reset: fs::write("/proc/self/clear_refs", "5").is_ok(),
            datagrams: datagrams(),
            // last, so that the above is not in it
            cpu: cpu(),
        }
    }

    /// Ends the span and says what was used in it.
    #[must_use]
    pub fn stop(self) -> Usage {
        let cpu = cpu()
            .zip(self.cpu)
            .and_then(|(end, start)| end.checked_sub(start));
        let peak_rss_bytes = self
            .is_peak_reset
            .then(|| fs::read_to_string("/proc/self/status").ok())
            .flatten()
            .and_then(|status| parse_peak(&status));
        let datagrams = datagrams()
            .zip(self.datagrams)
            .and_then(|(end, start)| since(end, start));
        Usage {
            cpu,
            peak_rss_bytes,
            datagrams,
        }
    }
}

/// User and system time of the process so far.
fn cpu() -> Option<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    duration(usage.user_time())?.checked_add(duration(usage.system_time())?)
}

fn duration(time: TimeVal) -> Option<Duration> {
    let seconds = u64::try_from(time.tv_sec()).ok()?;
    let micros = u64::try_from(time.tv_usec()).ok()?;
    Duration::from_secs(seconds).checked_add(Duration::from_micros(micros))
}

/// The counters of both families. A kernel without IPv6 has no `snmp6`, and nothing to count there.
fn datagrams() -> Option<Datagrams> {
    let v4 = parse_snmp(&fs::read_to_string("/proc/self/net/snmp").ok()?)?;
    let v6 = match fs::read_to_string("/proc/self/net/snmp6") {
        Ok(text) => parse_snmp6(&text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Datagrams::default(),
        Err(_) => return None,
    };
    Some(Datagrams {
        delivered: v4.delivered.checked_add(v6.delivered)?,
        dropped: v4.dropped.checked_add(v6.dropped)?,
    })
}

/// What was counted between two readings; `None` if a counter went back, as after a change of the namespace.
fn since(end: Datagrams, start: Datagrams) -> Option<Datagrams> {
    Some(Datagrams {
        delivered: end.delivered.checked_sub(start.delivered)?,
        dropped: end.dropped.checked_sub(start.dropped)?,
    })
}

/// `VmHWM` in bytes, from the text of `/proc/self/status`.
fn parse_peak(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let mut words = line.split_ascii_whitespace();
    let kibibytes: u64 = words.next()?.parse().ok()?;
    // the only unit there has ever been; another one would be a thousand times off
    (words.next()? == "kB").then(|| kibibytes.checked_mul(1024))?
}

/// The `Udp` counters of `/proc/net/snmp`: a line of names, then a line of values in their order, which differs between kernels.
fn parse_snmp(text: &str) -> Option<Datagrams> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp:"));
    let (names, values) = (lines.next()?, lines.next()?);
    let value = |wanted: &str| {
        let place = names.split_ascii_whitespace().position(|n| n == wanted)?;
        values.split_ascii_whitespace().nth(place)?.parse().ok()
    };
    Some(Datagrams {
        delivered: value("InDatagrams")?,
        dropped: value("RcvbufErrors")?,
    })
}

/// The `Udp6` counters of `/proc/net/snmp6`: a name and a value on each line.
fn parse_snmp6(text: &str) -> Option<Datagrams> {
    let value = |wanted: &str| {
        text.lines().find_map(|line| {
            let (name, value) = line.split_once(char::is_whitespace)?;
            (name == wanted).then(|| value.trim().parse().ok())?
        })
    };
    Some(Datagrams {
        delivered: value("Udp6InDatagrams")?,
        dropped: value("Udp6RcvbufErrors")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SNMP: &str = "\
Ip: Forwarding DefaultTTL InReceives
Ip: 1 64 2013
Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors
Udp: 1500 3 41 1600 40 7 1 0 0
UdpLite: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors
UdpLite: 9 9 9 9 9 9 9 9 9
";
    const SNMP6: &str = "\
Ip6InReceives                   \t70
Udp6InDatagrams                 \t21
Udp6NoPorts                     \t1
Udp6RcvbufErrors                \t5
UdpLite6InDatagrams             \t99
UdpLite6RcvbufErrors            \t99
";
    const STATUS: &str =
        "Name:\tdc-perf\nVmPeak:\t  900000 kB\nVmHWM:\t   51234 kB\nVmRSS:\t   40000 kB\n";

    fn counted(delivered: u64, dropped: u64) -> Datagrams {
        Datagrams { delivered, dropped }
    }

    #[test]
    fn counters_are_found_by_name() {
        assert_eq!(parse_snmp(SNMP), Some(counted(1500, 40)));
        assert_eq!(parse_snmp6(SNMP6), Some(counted(21, 5)));
        // another kernel, with fewer columns and in another order
        let other = "UdpLite: RcvbufErrors InDatagrams\nUdpLite: 9 9\nUdp: RcvbufErrors InDatagrams\nUdp: 2 8\n";
        assert_eq!(parse_snmp(other), Some(counted(8, 2)));
    }

    #[test]
    fn a_counter_that_is_missing_is_not_zero() {
        for text in [
            "",
            "Udp: InDatagrams RcvbufErrors\n",
            "Udp: InDatagrams\nUdp: 5\n",
            "Udp: InDatagrams RcvbufErrors\nUdp: 5\n",
            "Udp: InDatagrams RcvbufErrors\nUdp: 5 -1\n",
            "Udp: InDatagrams RcvbufErrors\nUdp: 5 99999999999999999999\n",
        ] {
            assert_eq!(parse_snmp(text), None, "{text:?}");
        }
        for text in [
            "",
            "Udp6InDatagrams 5\n",
            "Udp6InDatagrams\nUdp6RcvbufErrors 1\n",
            "Udp6InDatagrams x\nUdp6RcvbufErrors 1\n",
        ] {
            assert_eq!(parse_snmp6(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_peak_is_in_bytes() {
        assert_eq!(parse_peak(STATUS), Some(51_234 * 1024));
        for text in [
            "",
            "VmRSS: 5 kB\n",
            "VmHWM:\n",
            "VmHWM: 5\n",
            "VmHWM: 5 MB\n",
            "VmHWM: 18446744073709551615 kB\n",
        ] {
            assert_eq!(parse_peak(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_counter_that_went_back_gives_nothing() {
        assert_eq!(since(counted(9, 4), counted(2, 4)), Some(counted(7, 0)));
        assert_eq!(since(counted(9, 3), counted(2, 4)), None);
        assert_eq!(since(counted(1, 4), counted(2, 4)), None);
    }

    #[test]
    fn seconds_and_microseconds_add_up() {
        assert_eq!(
            duration(TimeVal::new(2, 345)),
            Some(Duration::new(2, 345_000))
        );
        assert_eq!(duration(TimeVal::new(-1, 0)), None);
    }

    /// Counts how much work it takes until the kernel has charged some, so no clock decides; the peak is checked against memory
    /// that was surely touched, where the kernel lets it be started over.
    #[test]
    fn a_span_has_what_was_used_in_it() {
        let meter = Meter::start();
        let touched = std::hint::black_box(vec![1_u8; 32 << 20]);
        let before = cpu().unwrap();
        let mut sum = 0_u64;
        while cpu().unwrap() <= before {
            sum = std::hint::black_box(touched.iter().map(|byte| u64::from(*byte)).sum());
        }
        let usage = meter.stop();
        assert!(usage.cpu > Some(Duration::ZERO) && sum <= 32 << 20);
        assert!(usage.peak_rss_bytes.is_none_or(|peak| peak >= 32 << 20));
        drop(touched);
    }
}
