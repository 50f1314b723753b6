// SPDX-License-Identifier: Apache-2.0

//! Sealing and opening GSO batches with the functions that streams call, without a stream around them.
//!
//! The one rule: the calls, and their order, are those of `stream/send/queue.rs` (`State::transmit`) and of
//! `socket/recv/udp.rs`, `socket/recv/router.rs` and `stream/recv/state/open.rs` (`State::open`). What the library does
//! besides is bookkeeping, and is not here. When one of those files changes, this one follows.

use s2n_codec::{DecoderBufferMut, EncoderBuffer};
use s2n_quic_core::{
    buffer::{
        reader::{storage, Incremental, Reader as _, Storage as _},
        writer::Storage as _,
    },
    inet::ExplicitCongestionNotification,
    varint::VarInt,
};
use s2n_quic_dc::{
    credentials::Credentials,
    crypto::open::Error as OpenError,
    msg::{
        segment,
        send::{Builder, Message},
    },
    packet::{stream, Packet},
    path::secret::{
        map::{self, ApplicationPair, Bidirectional, ControlPair},
        Map,
    },
    socket::pool::{Class, Pool, Purpose, Segment, Segments},
    stream::TransportFeatures,
    testing::secrets::{self, Agreement},
};
use std::net::{Ipv4Addr, SocketAddr};

/// The datagram sizes to measure, in bytes of UDP payload: a full batch is 44 datagrams on Ethernet, and 7 with jumbo frames.
pub const DATAGRAM_LENS: [usize; 2] = [1450, 8950];

/// How many datagrams of `datagram_len` bytes make a full batch.
#[must_use]
pub const fn datagrams(datagram_len: usize) -> usize {
    segment::fitting(segment::MAX_TOTAL, datagram_len)
}

/// The secret that a client and a server share, as if they had shaken hands.
pub struct Secret {
    client: Map,
    server: Map,
}

impl Secret {
    /// Makes both ends' maps, with a secret that is always the same.
    #[must_use]
    pub fn new() -> Self {
        let (client, server) = (secrets::map(), secrets::map());
        let agreed = Agreement::default();
        secrets::share(SECRET, (&client, CLIENT), (&server, SERVER), &agreed);
        Self { client, server }
    }

    /// The client's way to keys for the server.
    ///
    /// # Panics
    ///
    /// If the maps do not know the secret, which [`Self::new`] gave them.
    #[must_use]
    pub fn peer(&self) -> map::Peer {
        self.client
            .get_tracked(SERVER)
            .expect("the maps share a secret")
    }

    /// What the server looks keys up in.
    #[must_use]
    pub const fn server(&self) -> &Map {
        &self.server
    }

    /// Keys for a new stream, as the client opens it and the server accepts it. AES-128-GCM, as in the default handshake.
    ///
    /// # Panics
    ///
    /// If the maps do not know the secret, or all of its key ids are used.
    #[must_use]
    pub fn open_stream(&self) -> (Sealer, Opener) {
        let (keys, _params) = self
            .peer()
            .pair(&TransportFeatures::UDP)
            .expect("there are key ids left");
        let credentials = keys.credentials;
        let sealer = Sealer::new(keys);

        let mut answer = Vec::new();
        let (keys, _params, _data) = self
            .server
            .pair_for_credentials(&credentials, None, &TransportFeatures::UDP, &mut answer)
            .expect("the maps share a secret");
        (sealer, Opener::new(keys))
    }
}

impl Default for Secret {
    fn default() -> Self {
        Self::new()
    }
}

/// Seals the bytes of one stream: what its writer keeps between batches.
pub struct Sealer {
    keys: ApplicationPair,
    credentials: Credentials,
    reader: Incremental,
    number: u64,
}

impl Sealer {
    fn new(keys: Bidirectional) -> Self {
        Self {
            keys: keys.application,
            credentials: keys.credentials,
            reader: Incremental::default(),
            number: 0,
        }
    }

    /// Whether the key has sealed as many packets as it may; the bench then goes on with another stream.
    #[must_use]
    pub fn is_used_up(&self) -> bool {
        self.keys.sealer.needs_update()
    }

    /// Takes a descriptor of `pool` and seals packets of `datagram_len` bytes into it, straight from `payload`, until
    /// either is exhausted.
    ///
    /// # Panics
    ///
    /// If the pool is at its ceiling, or `datagram_len` does not fit into a descriptor.
    pub fn seal(
        &mut self,
        pool: &Pool,
        datagram_len: usize,
        mut payload: &[u8],
        to: SocketAddr,
    ) -> Message {
        let descriptor = pool
            .alloc(Class::Burst, Purpose::Data)
            .expect("the bench stays below the ceiling");
        let packets = segment::fitting(descriptor.capacity(), datagram_len);
        let mut builder = Builder::new(descriptor, datagram_len).expect("a datagram fits");
        let stream_id = stream::Id::normal(QUEUE_ID).expect("the number is small");

        let credit = payload.buffered_len();
        let mut reader = self
            .reader
            .with_storage(&mut payload, false)
            .expect("the stream does not end");
        let mut reader = reader.with_read_limit(credit);
        while builder.segments() < packets && !reader.buffer_is_empty() {
            let packet_number = VarInt::new(self.number).expect("the key is used up before");
            let len = builder
                .push(|dest| {
                    stream::encoder::encode(
                        EncoderBuffer::new(dest),
                        Some(QUEUE_ID),
                        stream_id,
                        packet_number,
                        VarInt::ZERO,
                        VarInt::ZERO,
                        &mut storage::Empty,
                        VarInt::ZERO,
                        &(),
                        &mut reader,
                        &self.keys.sealer,
                        &self.credentials,
                    )
                })
                .expect("there is room for another packet");
            self.number += 1;
            if len < datagram_len {
                // a short packet ends the batch
                break;
            }
        }
        builder
            .finish(to, ExplicitCongestionNotification::Ect0)
            .expect("there was something to seal")
    }
}

/// Opens the packets of one stream: what its receiving half keeps between packets.
pub struct Opener {
    keys: ApplicationPair,
    control: ControlPair,
    credentials: Credentials,
}

impl Opener {
    fn new(keys: Bidirectional) -> Self {
        Self {
            keys: keys.application,
            control: keys.control.expect("streams over UDP have control keys"),
            credentials: keys.credentials,
        }
    }

    /// Finds out whom each segment is for, then authenticates and decrypts it straight into the start of `out` that is not
    /// written yet. Returns the number of bytes written. The segments go home.
    ///
    /// # Errors
    ///
    /// [`NotOpened`] for the first packet that a stream would have dropped.
    pub fn open(&self, segments: Segments, out: &mut [u8]) -> Result<usize, NotOpened> {
        let mut dest = &mut out[..];
        let capacity = dest.remaining_capacity();
        for mut segment in segments {
            if !is_for_stream(&mut segment) {
                return Err(NotOpened::Unroutable);
            }
            let decoder = DecoderBufferMut::new(&mut segment);
            let (mut packet, _) = stream::decoder::Packet::decode(decoder, (), TAG_LEN)
                .map_err(|_| NotOpened::Undecodable)?;
            if *packet.credentials() != self.credentials {
                return Err(NotOpened::Credentials);
            }
            let offset = capacity - dest.remaining_capacity();
            let len = packet.payload().len();
            if dest.remaining_capacity() < len {
                return Err(NotOpened::NoRoom);
            }
            let (opener, control) = (&self.keys.opener, &self.control.opener);
            let is_direct = dest
                .put_uninit_slice(len, |out| packet.decrypt(opener, control, out))
                .map_err(NotOpened::Authentication)?;
            if !is_direct {
                return Err(NotOpened::Copied { offset });
            }
        }
        Ok(capacity - dest.remaining_capacity())
    }
}

/// The worker's look at a packet, which says which stream it is for.
fn is_for_stream(segment: &mut Segment) -> bool {
    let decoder = DecoderBufferMut::new(segment);
    match decoder.decode_parameterized::<Packet<'_>>(TAG_LEN) {
        Ok((Packet::Stream(packet), _)) => packet.stream_id().queue_id() == QUEUE_ID,
        _ => false,
    }
}

/// Why a packet was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOpened {
    /// It is not a stream packet, or for another stream.
    #[error("a packet is not for the stream")]
    Unroutable,
    /// It is cut short.
    #[error("a packet cannot be decoded")]
    Undecodable,
    /// It was sealed with other keys.
    #[error("a packet has the credentials of another stream")]
    Credentials,
    /// The buffer is full.
    #[error("the packets hold more than the buffer does")]
    NoRoom,
    /// It was changed on the way, or replayed.
    #[error("a packet does not authenticate: {0}")]
    Authentication(OpenError),
    /// It would have gone through the reassembler, which is not the path that is measured.
    #[error("the packet at {offset} was not decrypted in place of its use")]
    Copied {
        /// Its position in the buffer, in bytes.
        offset: usize,
    },
}

/// The secret; arbitrary.
const SECRET: u8 = 0x5a;

/// Under these the maps know each other; nothing is sent to them.
const CLIENT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 2);

/// The number of the stream at either end; any but zero, which is the acceptor's
const QUEUE_ID: VarInt = VarInt::from_u8(7);

/// Every packet ends with a tag of this many bytes
const TAG_LEN: usize = 16;
