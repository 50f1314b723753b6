// SPDX-License-Identifier: Apache-2.0

//! The bytes of a descriptor, and where they come from.
//!
//! The one rule: what is freed is no longer resident. Allocators keep what they are given for the next allocation, and
//! glibc's keeps a freed 64 KiB block for as long as something newer lies behind it. So large buffers are mappings of
//! their own: to free one is to unmap it.
//!
//! A mapping costs two system calls in its life, as much as touching a few of its pages for the first time does, and
//! only those pages are resident that were ever written. Small buffers, of which several fit into a page, come from
//! the allocator; so do large ones if the system refuses another mapping (`vm.max_map_count`).

use memmap2::MmapRaw;
use std::{cell::UnsafeCell, ops::Range};

pub(super) enum Buffer {
    Mapped(MmapRaw),
    Allocated(Box<[UnsafeCell<u8>]>),
}

impl Buffer {
    /// Makes a buffer of zeroes.
    pub(super) fn new(len: usize) -> Self {
        if len >= MIN_MAPPED {
            if let Ok(mapping) = memmap2::MmapMut::map_anon(len) {
                return Self::Mapped(mapping.into());
            }
        }
        Self::Allocated((0..len).map(|_| UnsafeCell::new(0)).collect())
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Mapped(mapping) => mapping.len(),
            Self::Allocated(cells) => cells.len(),
        }
    }

    /// Where a range is, and its length. The bytes are initialised, and both reads and writes through the pointer are
    /// sound for as long as the buffer lives, if they do not race.
    ///
    /// # Panics
    ///
    /// The range is not within the buffer.
    pub(super) fn range(&self, range: Range<usize>) -> (*mut u8, usize) {
        assert!(range.start <= range.end && range.end <= self.len());
        let first = match self {
            Self::Mapped(mapping) => mapping.as_mut_ptr(),
            Self::Allocated(cells) => UnsafeCell::raw_get(cells.as_ptr()),
        };
        // within the buffer or at its end, as asserted
        (first.wrapping_add(range.start), range.len())
    }
}

/// Half of a burst. A path with jumbo frames has packets of 9216 bytes, three pages, of which there are too many for
/// mappings of their own: by default Linux allows 65 530.
const MIN_MAPPED: usize = 1 << 15;
