// SPDX-License-Identifier: Apache-2.0

//! A batch of the `ceiling` without its threads and sockets, for the benches of what streams do with theirs.
//!
//! The one rule: the datagrams are those that the flood sends, sealed and opened by the same functions.

use super::packet::{self, Layout, Opener, Protection, Sealer};
use aws_lc_rs::aead::LessSafeKey;
use s2n_quic_dc_perf::pattern::Pattern;

/// What is to be sealed, and the memory that a batch goes through.
pub struct Batch {
    layout: Layout,
    sealer: LessSafeKey,
    opener: LessSafeKey,
    data: Vec<u8>,
    sealed: Vec<u8>,
    received: Vec<u8>,
    opened: Vec<u8>,
}

impl Batch {
    /// As many datagrams of `datagram` bytes as one send carries.
    ///
    /// # Panics
    ///
    /// If a datagram has no room for data or does not fit into a packet of IP, or if the system gives no random bytes.
    #[must_use]
    pub fn new(datagram: usize) -> Self {
        let mtu = u16::try_from(datagram).expect("a datagram fits into a packet");
        let layout = Layout::new(Protection::Aes128Gcm, mtu).expect("a datagram has room for data");
        let keys = packet::keys().expect("the system has random bytes");
        let (Sealer::Aes(sealer), Opener::Aes(opener)) = keys else {
            unreachable!("keys are of AES");
        };
        let data_len = layout.segments() * layout.data();
        let sealed_len = layout.segments() * layout.datagram();
        Self {
            layout,
            sealer,
            opener,
            data: Pattern::new(datagram as u64).bytes(0, data_len).to_vec(),
            sealed: vec![0; sealed_len],
            received: vec![0; sealed_len],
            opened: vec![0; data_len],
        }
    }

    /// Bytes of all its datagrams.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "none is empty")]
    pub fn len(&self) -> usize {
        self.sealed.len()
    }

    /// Datagrams in it.
    #[must_use]
    pub fn datagrams(&self) -> usize {
        self.layout.segments()
    }

    /// Seals all datagrams, from number 0 on each time: nothing of it is sent.
    ///
    /// # Panics
    ///
    /// Never: there is room for all.
    pub fn seal(&mut self) {
        let data = self.data.chunks(self.layout.data());
        let datagrams = self.sealed.chunks_mut(self.layout.datagram());
        for ((number, datagram), data) in (0..).zip(datagrams).zip(data) {
            packet::seal(&self.sealer, number, data, datagram).expect("it has room");
        }
    }

    /// Copies what was sealed last to where it is opened, as the kernel does.
    pub fn receive(&mut self) {
        self.received.copy_from_slice(&self.sealed);
    }

    /// Opens all datagrams that were received last.
    ///
    /// # Panics
    ///
    /// If one does not authenticate.
    pub fn open(&mut self) {
        let datagrams = self.received.chunks(self.layout.datagram());
        let data = self.opened.chunks_mut(self.layout.data());
        for ((number, datagram), data) in (0..).zip(datagrams).zip(data) {
            packet::open(&self.opener, number, datagram, data).expect("it authenticates");
        }
    }

    /// Whether what was opened last is what was to be sealed; forgets it.
    pub fn is_intact(&mut self) -> bool {
        let is_intact = self.opened == self.data;
        self.opened.fill(0);
        is_intact
    }
}
