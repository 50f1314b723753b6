// SPDX-License-Identifier: Apache-2.0

//! A seed that is given again gives the same packets again.
//!
//! [`check`](super::check) shows it for every scenario that is cheap; here it is shown for those that are not, and that
//! another seed gives other packets.
//!
//! The rule: whole traces are compared, with the time, the length and the bytes of each packet.

use super::{echo, loss, micros, upload, MEGABYTE};
use s2n_quic_dc_tests::{
    endpoint::Pairing,
    sim::{
        check::{assert_same, run},
        peer::Socket,
        Simulation,
    },
};

#[test]
fn a_seed_gives_the_same_packets_every_time() {
    let new = Pairing::NEW_TO_NEW;
    for (pairing, case, percent, sockets) in [
        (new, upload(1, MEGABYTE), 0, 1),
        (new, echo(10, MEGABYTE), 5, 1),
        (new, echo(10, MEGABYTE), 5, 2),
        (new, upload(100, MEGABYTE), 1, 1),
        (Pairing::NEW_TO_OLD, upload(10, MEGABYTE), 1, 1),
        (Pairing::OLD_TO_NEW, upload(10, MEGABYTE), 1, 1),
    ] {
        let simulation = Simulation {
            socket: Socket {
                count: sockets,
                ..Socket::default()
            },
            ..Simulation::new(pairing, case, micros(100)).with(loss(percent))
        };
        let (first, second) = (run(&simulation), run(&simulation));
        assert_same(&first, &second, &simulation);
        let other = Simulation {
            seed: simulation.seed + 1,
            ..simulation.clone()
        };
        assert_eq!(first.trace == run(&other).trace, percent == 0);
    }
}
