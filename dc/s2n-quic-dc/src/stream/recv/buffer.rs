// SPDX-License-Identifier: Apache-2.0

//! What has arrived, in order, and was not taken yet.
//!
//! A stream's first packet is opened before the application knows of the stream, so there is no buffer of a reader to open it into. Its payload,
//! which may be all of a request, stays in the memory of the socket until it is read: a reassembler would allocate twice for it, in one
//! thread for another. A reader that does not come soon finds it in memory of the stream's own, and the socket has its own again.
//!
//! The one rule: a byte is consumed when it was read, wherever it waited until then.

use crate::socket::pool::Segment;
use bytes::Bytes;
use core::ops::Range;
use s2n_quic_core::{
    buffer::{self, writer, Reassembler},
    time::Timestamp,
    varint::VarInt,
};

#[derive(Default)]
pub(crate) struct Buffer {
    /// Bytes that the reassembler takes for consumed, and that are kept
    kept_len: usize,
    kept: Option<Kept>,
    reassembler: Reassembler,
}

/// Bytes that wait where they were received
struct Kept {
    place: Place,
    /// Those that were not read yet
    unread: Range<usize>,
}

enum Place {
    Socket { segment: Segment, since: Timestamp },
    Own(Bytes),
}

impl Kept {
    fn unread(&self) -> &[u8] {
        let bytes = match &self.place {
            Place::Socket { segment, .. } => &segment[..],
            Place::Own(bytes) => bytes,
        };
        &bytes[self.unread.clone()]
    }
}

impl Buffer {
    /// Bytes that are in order
    pub(super) fn len(&self) -> usize {
        // what the reassembler has comes after what it takes for consumed
        self.kept_len + self.reassembler.len()
    }

    /// Nothing is in order; bytes behind some that are missing may be there
    pub(super) fn is_empty(&self) -> bool {
        self.kept_len == 0 && self.reassembler.is_empty()
    }

    /// Bytes that were read
    pub(super) fn consumed_len(&self) -> u64 {
        self.reassembler.consumed_len() - self.kept_len as u64
    }

    /// Bytes that were received, also behind others that are missing
    pub(super) fn total_received_len(&self) -> u64 {
        self.reassembler.total_received_len()
    }

    pub(super) fn final_size(&self) -> Option<u64> {
        self.reassembler.final_size()
    }

    /// Every byte up to the end was received
    pub(super) fn is_writing_complete(&self) -> bool {
        self.reassembler.is_writing_complete()
    }

    /// Every byte up to the end was read
    pub(super) fn is_reading_complete(&self) -> bool {
        self.kept_len == 0 && self.reassembler.is_reading_complete()
    }

    /// Takes in bytes that may be anywhere in the stream
    pub(super) fn write_at(
        &mut self,
        offset: VarInt,
        data: &[u8],
        is_fin: bool,
    ) -> Result<(), buffer::Error> {
        match is_fin {
            true => self.reassembler.write_at_fin(offset, data),
            // which would take it for more than nothing
            false if data.is_empty() => Ok(()),
            false => self.reassembler.write_at(offset, data),
        }
    }

    /// The next `len` bytes are the reader's already; nothing else waits
    pub(super) fn skip(&mut self, len: usize, is_fin: bool) -> Result<(), buffer::Error> {
        debug_assert!(self.is_empty());
        let len = VarInt::try_from(len).map_err(|_| buffer::Error::OutOfRange)?;
        self.reassembler.skip(len)?;
        if is_fin {
            let end = VarInt::new(self.reassembler.consumed_len())
                .map_err(|_| buffer::Error::OutOfRange)?;
            self.reassembler.write_at_fin(end, &[])?;
        }
        Ok(())
    }

    /// As [`Self::skip`], for bytes that [`Self::keep`] is called with next
    pub(super) fn skip_kept(&mut self, len: usize, is_fin: bool) -> Result<(), buffer::Error> {
        self.skip(len, is_fin)?;
        self.kept_len = len;
        Ok(())
    }

    /// Leaves `payload` of `segment` where it is
    pub(super) fn keep(&mut self, segment: Segment, payload: Range<usize>, now: Timestamp) {
        // the stream may have ended by the same packet
        if self.kept_len == 0 {
            return;
        }
        debug_assert_eq!(self.kept_len, payload.len());
        self.kept = Some(Kept {
            place: Place::Socket {
                segment,
                since: now,
            },
            unread: payload,
        });
    }

    /// Since when the socket lacks memory for this
    pub(super) fn kept_since(&self) -> Option<Timestamp> {
        match self.kept.as_ref()?.place {
            Place::Socket { since, .. } => Some(since),
            Place::Own(_) => None,
        }
    }

    /// Gives the socket its memory back
    pub(super) fn copy_kept(&mut self) {
        let Some(kept) = &mut self.kept else { return };
        if let Place::Socket { .. } = kept.place {
            let bytes = Bytes::copy_from_slice(kept.unread());
            *kept = Kept {
                unread: 0..bytes.len(),
                place: Place::Own(bytes),
            };
        }
    }

    /// Moves what is in order into `dest`
    pub(super) fn read<B: writer::Storage>(&mut self, dest: &mut B) {
        if self.is_empty() {
            // nearly always: what comes next goes where the reader wants it
            return;
        }
        if let Some(kept) = &mut self.kept {
            let len = kept.unread.len().min(dest.remaining_capacity());
            dest.put_slice(&kept.unread()[..len]);
            kept.unread.start += len;
            self.kept_len -= len;
            if self.kept_len == 0 {
                self.kept = None;
            }
        }
        while dest.has_remaining_capacity() {
            match self.reassembler.pop_watermarked(dest.remaining_capacity()) {
                Some(chunk) => dest.put_bytes_mut(chunk),
                None => return,
            }
        }
    }

    /// Drops what is in order, as if it was read
    pub(super) fn discard(&mut self) {
        self.let_go();
        if let Ok(unread) = VarInt::try_from(self.reassembler.len()) {
            // no further than what was received
            let _ = self.reassembler.skip(unread);
        }
    }

    /// Drops everything, as if nothing had arrived
    pub(super) fn reset(&mut self) {
        self.let_go();
        self.reassembler.reset();
    }

    fn let_go(&mut self) {
        self.kept_len = 0;
        self.kept = None;
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
