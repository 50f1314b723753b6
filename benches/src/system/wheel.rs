// SPDX-License-Identifier: Apache-2.0

//! This tree's stack: streams that send through timing wheels, with a real handshake between client and server.
//!
//! The one rule: these are the ends of `dc-perf`, so what is compared is what that command shows. Their windows are the defaults, since
//! this stack widens them by itself; their socket buffers are what is asked for here by default too.

use super::psk;
use crate::settings::{Settings, StartError};
use s2n_quic_dc_perf::{
    endpoint::{loopback, Loopback, WheelClient, WheelServer},
    transport::Ends,
};

/// Starts servers and clients, and makes the handshake of each pair.
///
/// # Errors
///
/// [`StartError`] says which step failed.
pub async fn start(
    settings: &Settings,
) -> Result<(Ends<WheelClient>, Vec<WheelServer>), StartError> {
    let mtu = psk::effective_mtu(settings.mtu);
    let started = loopback(settings.clients, settings.peers, mtu).await;
    let Loopback { ends, servers } = started.map_err(StartError::at("ends"))?;
    Ok((ends, servers))
}

/// How it is configured, for people.
#[must_use]
pub fn settings(mtu: u16) -> Vec<(String, String)> {
    let mut lines = vec![
        ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        (
            "crypto".to_owned(),
            "AES-128-GCM by aws-lc, keys from a TLS 1.3 handshake with s2n-tls".to_owned(),
        ),
        (
            "windows".to_owned(),
            "the handshake's defaults, widened by the stack".to_owned(),
        ),
    ];
    lines.extend(psk::mtu_setting(mtu));
    lines
}
