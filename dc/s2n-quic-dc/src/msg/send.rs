// SPDX-License-Identifier: Apache-2.0

//! The bytes of one transmission: packets back to back in a pooled descriptor, and where they go.
//!
//! The rule: the builder alone keeps a batch valid. Every packet but the last has the same length, and the whole stays within
//! [`MAX_TOTAL`](segment::MAX_TOTAL) and [`MAX_SEGMENTS`](segment::MAX_SEGMENTS); once finished, it does not change.
//!
//! Memory is the pool's throughout. Filling takes a descriptor, a retransmission copies one packet into another, and dropping
//! clears: the descriptor goes home when the last clone of its message is gone.

use crate::{
    msg::segment,
    socket::{
        io::Extent,
        pool::{Class, Filled, Pool, Purpose, Unfilled},
    },
};
use s2n_quic_core::inet::ExplicitCongestionNotification;
use std::net::SocketAddr;

/// A finished transmission. Clones share the bytes.
#[derive(Clone, Debug)]
pub struct Message {
    addr: SocketAddr,
    ecn: ExplicitCongestionNotification,
    /// `0 < segment_len <= MAX_TOTAL`
    segment_len: usize,
    /// Not empty.
    payload: Filled,
}

impl Message {
    /// Where to.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The mark that every packet carries.
    pub fn ecn(&self) -> ExplicitCongestionNotification {
        self.ecn
    }

    /// The length of every packet but the last, in bytes.
    pub fn segment_len(&self) -> usize {
        self.segment_len
    }

    /// The bytes of all packets, back to back. Never empty.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// What decides with which other messages this one can share a send.
    pub fn extent(&self) -> Extent {
        Extent {
            addr: self.addr,
            ecn: self.ecn,
            segment_len: self.segment_len,
            total_len: self.payload.len(),
        }
    }

    /// The packets, in the order in which they were pushed.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.payload.chunks(self.segment_len)
    }

    /// Packet `index`, or `None` past the last one.
    pub fn segment(&self, index: usize) -> Option<&[u8]> {
        let range = segment::range(index, self.payload.len(), self.segment_len)?;
        self.payload.get(range)
    }

    /// Copies packet `index` into a descriptor of its own, the smallest that holds it, and returns that with the packet's length.
    ///
    /// This is for sending a lost packet again without the rest of its burst. The copy may be changed (it needs a packet number of
    /// its own); this message may be in a queue at the same time and is not touched. `purpose` says whether the copy may
    /// use the pool's reserve.
    ///
    /// `None` if there is no such packet, or no descriptor at the moment.
    pub fn copy_segment(
        &self,
        index: usize,
        pool: &Pool,
        purpose: Purpose,
    ) -> Option<(Unfilled, usize)> {
        let packet = self.segment(index)?;
        let class = Class::for_len(packet.len(), pool.config())?;
        let mut copy = pool.alloc(class, purpose)?;
        copy.as_mut_slice()[..packet.len()].copy_from_slice(packet);
        Some((copy, packet.len()))
    }
}

/// Fills one descriptor with packets. Drop gives the descriptor back.
#[derive(Debug)]
pub struct Builder {
    unfilled: Unfilled,
    /// `0 < segment_len <= capacity`
    segment_len: usize,
    /// How many packets fit: `0 < limit <= MAX_SEGMENTS`, and `limit * segment_len` is within the capacity and `MAX_TOTAL`.
    limit: usize,
    /// The bytes of the packets so far. Off the packet boundary once a short one has closed the batch.
    len: usize,
}

impl Builder {
    /// Starts a batch whose packets have `segment_len` bytes, except that the last may be shorter.
    ///
    /// Fails if not even one such packet fits; the descriptor goes home then.
    pub fn new(unfilled: Unfilled, segment_len: usize) -> Result<Self, SegmentLenError> {
        let capacity = unfilled.capacity().min(segment::MAX_TOTAL);
        let limit = segment::fitting(capacity, segment_len);
        if limit == 0 {
            return Err(SegmentLenError {
                segment_len,
                capacity,
            });
        }
        Ok(Self {
            unfilled,
            segment_len,
            limit,
            len: 0,
        })
    }

    /// Adds the packet that `write` puts at the start of the buffer it is given. It returns the packet's length, and so does this.
    ///
    /// The buffer has the segment length; what it holds beforehand means nothing. A packet shorter than that is the last. Writing
    /// nothing adds nothing and closes nothing. After an error the batch is as it was, and on [`PushError::Closed`] and
    /// [`PushError::Full`] `write` has not been called, so that the caller's bytes are not consumed.
    pub fn push(&mut self, write: impl FnOnce(&mut [u8]) -> usize) -> Result<usize, PushError> {
        if self.is_closed() {
            return Err(PushError::Closed);
        }
        if self.segments() == self.limit {
            return Err(PushError::Full);
        }
        let end = self.len + self.segment_len;
        let room = &mut self.unfilled.as_mut_slice()[self.len..end];
        let len = write(room);
        if len > self.segment_len {
            return Err(PushError::TooLong {
                len,
                room: self.segment_len,
            });
        }
        self.len += len;
        Ok(len)
    }

    /// The number of packets so far.
    pub fn segments(&self) -> usize {
        segment::count(self.len, self.segment_len)
    }

    /// The bytes of the packets so far.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no packet yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many more packets [`push`](Self::push) takes, if each has the segment length.
    pub fn remaining(&self) -> usize {
        if self.is_closed() {
            0
        } else {
            self.limit - self.segments()
        }
    }

    /// Makes the message, or gives the descriptor back if there is no packet.
    pub fn finish(self, addr: SocketAddr, ecn: ExplicitCongestionNotification) -> Option<Message> {
        if self.is_empty() {
            return None;
        }
        let segment_len = self.segment_len;
        // within the capacity by what the fields promise
        let payload = self.unfilled.fill(self.len).ok()?;
        Some(Message {
            addr,
            ecn,
            segment_len,
            payload,
        })
    }

    /// Whether a short packet was pushed. The kernel cuts at equal distances, so that nothing can follow it.
    fn is_closed(&self) -> bool {
        !self.len.is_multiple_of(self.segment_len)
    }
}

/// No packet of this length fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the segment length is {segment_len} bytes, allowed are 1 to {capacity}")]
pub struct SegmentLenError {
    /// The length asked for, in bytes.
    pub segment_len: usize,
    /// What the descriptor and the limit for one transmission leave, in bytes.
    pub capacity: usize,
}

/// A packet was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// A shorter packet has ended the batch.
    #[error("a short packet has ended the batch")]
    Closed,
    /// One more packet would exceed the descriptor or a limit.
    #[error("the batch is full")]
    Full,
    /// The writer claims to have written more than its buffer holds.
    #[error("a packet of {len} bytes was written into {room}")]
    TooLong {
        /// The length that the writer returned, in bytes.
        len: usize,
        /// The length of the buffer, in bytes.
        room: usize,
    },
}

#[cfg(test)]
mod tests;
