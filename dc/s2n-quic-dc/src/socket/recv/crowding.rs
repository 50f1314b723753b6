// SPDX-License-Identifier: Apache-2.0

//! Whether a socket's receive buffer is about to overflow, and the mark of what is taken out of it then.
//!
//! What overflows is lost, in trains of up to 44 packets. Where many peers send to one socket, none of them has much on its way, and the buffer is
//! full nevertheless. It is a queue like that of a switch, which would mark packets before it drops them (RFC 3168), so what comes out of a buffer
//! that is nearly full counts as marked, and peers hear of it as of any other mark. hostCC marks so what a host's own interconnect delays ("Host
//! Congestion Control", Agarwal, Krishnamurthy and Agarwal, SIGCOMM 2023).
//!
//! The one rule: to look at the buffer is a system call, and only takes place behind so much in a row that it may be worth it.

use crate::socket::io::Backlog;
use s2n_quic_core::inet::ExplicitCongestionNotification;

/// What of the buffer may be in use before packets are marked: the rest takes what arrives until peers have heard of it
const UNCROWDED: (usize, usize) = (2, 3);

/// Looks while as much is received as the buffer holds
const LOOKS_PER_BUFFER: usize = 8;

/// What a receive takes of the buffer at the least, however short the packet is: the system accounts for the memory that it is in
const MIN_HELD: usize = 1024;

/// What is known of one socket's receive buffer
#[derive(Debug)]
pub(super) struct Crowding {
    /// Bytes between two looks. `None` if the socket does not tell.
    step: Option<usize>,
    /// Bytes received since the last look, or since the buffer was empty
    in_a_row: usize,
    is_crowded: bool,
}

impl Crowding {
    /// Of a socket with such a backlog
    pub(super) fn new(backlog: Option<Backlog>) -> Self {
        Self {
            step: backlog.map(|backlog| backlog.capacity / LOOKS_PER_BUFFER),
            in_a_row: 0,
            is_crowded: false,
        }
    }

    /// Something of `len` bytes with the mark `ecn` was received: the mark that it counts with. May ask for the `backlog`.
    pub(super) fn on_received(
        &mut self,
        len: usize,
        ecn: ExplicitCongestionNotification,
        backlog: impl FnOnce() -> Option<Backlog>,
    ) -> ExplicitCongestionNotification {
        let Some(step) = self.step else {
            return ecn;
        };
        self.in_a_row += len.max(MIN_HELD);
        if self.in_a_row >= step {
            self.in_a_row = 0;
            self.is_crowded = backlog().is_some_and(is_crowded);
        }
        match ecn {
            // who does not know of marks is not told
            ExplicitCongestionNotification::NotEct => ecn,
            _ if self.is_crowded => ExplicitCongestionNotification::Ce,
            _ => ecn,
        }
    }

    /// There is nothing left in the buffer
    pub(super) fn on_empty(&mut self) {
        self.in_a_row = 0;
        self.is_crowded = false;
    }
}

fn is_crowded(backlog: Backlog) -> bool {
    let (share, of) = UNCROWDED;
    backlog.held / share > backlog.capacity / of
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use ExplicitCongestionNotification::{Ce, Ect0, Ect1, NotEct};

    const CAPACITY: usize = 80_000;

    fn of(percent: usize) -> Option<Backlog> {
        Some(Backlog {
            held: CAPACITY / 100 * percent,
            capacity: CAPACITY,
        })
    }

    /// A crowding that has looked at a buffer of which so much is in use
    fn after_look(percent: usize) -> Crowding {
        let mut crowding = Crowding::new(of(0));
        crowding.on_received(CAPACITY, Ect0, || of(percent));
        crowding
    }

    fn next(
        crowding: &mut Crowding,
        ecn: ExplicitCongestionNotification,
    ) -> ExplicitCongestionNotification {
        crowding.on_received(1, ecn, || unreachable!("a look too many"))
    }

    #[test]
    fn what_comes_out_of_a_full_buffer_is_marked() {
        assert_eq!(next(&mut after_look(100), Ect0), Ce);
        assert_eq!(next(&mut after_look(67), Ect0), Ce);
        assert_eq!(next(&mut after_look(66), Ect0), Ect0);
        assert_eq!(next(&mut after_look(0), Ect0), Ect0);
    }

    #[test]
    fn only_who_knows_of_marks_is_told() {
        assert_eq!(next(&mut after_look(100), Ect1), Ce);
        assert_eq!(next(&mut after_look(100), NotEct), NotEct);
        // a mark of the network stays
        assert_eq!(next(&mut after_look(0), Ce), Ce);
    }

    #[test]
    fn it_looks_after_an_eighth_of_the_buffer_in_a_row() {
        let mut crowding = Crowding::new(of(0));
        let mut looks = 0;
        for count in 1..=30 {
            crowding.on_received(CAPACITY / 80, Ect0, || {
                looks += 1;
                of(0)
            });
            assert_eq!(
                looks,
                count * MIN_HELD.max(CAPACITY / 80) / (CAPACITY / 8),
                "{count}"
            );
        }
        assert_eq!(looks, 3);
        // a buffer that is empty now and then is never looked at
        let mut crowding = Crowding::new(of(0));
        for _ in 0..100 {
            crowding.on_received(CAPACITY / 9, Ect0, || unreachable!("a look too many"));
            crowding.on_empty();
        }
    }

    #[test]
    fn short_packets_count_for_the_memory_that_they_take() {
        let mut crowding = Crowding::new(of(0));
        let marked = (1..=100).find(|_| crowding.on_received(1, Ect0, || of(100)) == Ce);
        assert_eq!(marked, Some((CAPACITY / 8).div_ceil(MIN_HELD)));
    }

    #[test]
    fn an_empty_buffer_is_not_crowded_any_more() {
        let mut crowding = after_look(100);
        crowding.on_empty();
        assert_eq!(next(&mut crowding, Ect0), Ect0);
        // nor one that another look finds to have room
        let mut crowding = after_look(100);
        assert_eq!(crowding.on_received(CAPACITY, Ect0, || of(50)), Ect0);
        assert_eq!(crowding.on_received(CAPACITY, Ect0, || None), Ect0);
    }

    #[test]
    fn a_socket_that_does_not_tell_is_not_asked() {
        let mut crowding = Crowding::new(None);
        for _ in 0..100 {
            assert_eq!(next(&mut crowding, Ect0), Ect0);
            let ecn = crowding.on_received(CAPACITY, Ect0, || unreachable!("asked"));
            assert_eq!(ecn, Ect0);
        }
    }
}
