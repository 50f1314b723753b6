// SPDX-License-Identifier: Apache-2.0

//! A descriptor: a buffer with a count of its users that goes home to its pool when the last of them leaves.
//!
//! The one rule: bytes are written only through a handle that is alone with them, namely an [`Unfilled`] (alone with
//! the descriptor) or a [`Segment`] (alone with its range). A shared [`Filled`] only reads.
//!
//! It is an `Arc<[u8]>` that departs from the plain one in three ways. The count sits in the node next to the buffer,
//! and the node is what is recycled, so a round trip through the pool allocates and frees nothing. The last user does
//! not free the node but boxes it up again and hands it to the pool. And users can own disjoint ranges.
//!
//! This is the only file of the pool that needs `unsafe`.

use super::{buffer::Buffer, shared::Shared, Class, Purpose};
use crate::sync::primitive::{AccessCheck, Arc, AtomicU32, Ordering};
use std::{
    fmt,
    ops::{Deref, DerefMut, Range},
    ptr::NonNull,
};

/// A descriptor that nobody else has, waiting to be written.
///
/// The bytes are whatever the last user left: write what you fill.
pub struct Unfilled {
    node: Ref,
}

impl Unfilled {
    /// Bytes that fit.
    pub fn capacity(&self) -> usize {
        self.node.get().bytes.len()
    }

    /// The whole buffer.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        let whole = 0..self.capacity();
        self.node.get().access.exclusive();
        // SAFETY:
        // * an `Unfilled` holds the only reference to its node (it is made by `Idle::check_out`, and by
        //   `Filled::try_into_unfilled` after the count was seen to be one), and never shares it
        // * the result borrows `self` mutably, so there is no second slice while it lives
        unsafe { self.node.slice_mut(whole) }
    }

    /// Declares the first `len` bytes written. From here on they do not change while they are shared.
    ///
    /// # Errors
    ///
    /// `len` is above the capacity. The error holds the descriptor.
    pub fn fill(self, len: usize) -> Result<Filled, FillError> {
        if len > self.capacity() {
            return Err(FillError {
                unfilled: self,
                len,
            });
        }
        Ok(Filled {
            node: self.node,
            len,
        })
    }
}

impl fmt::Debug for Unfilled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unfilled")
            .field("capacity", &self.capacity())
            .finish()
    }
}

/// More bytes were declared written than the descriptor holds.
#[derive(Debug, thiserror::Error)]
#[error("{len} bytes do not fit into a descriptor of {}", unfilled.capacity())]
pub struct FillError {
    /// The descriptor, as it was.
    pub unfilled: Unfilled,
    /// The length asked for.
    pub len: usize,
}

/// Bytes that have been written. A clone shares them and allocates nothing.
pub struct Filled {
    node: Ref,
    /// `len <= capacity`
    len: usize,
}

impl Filled {
    /// The descriptor, to be written anew, if nobody shares it.
    ///
    /// # Errors
    ///
    /// Somebody does; the handle comes back unchanged.
    pub fn try_into_unfilled(self) -> Result<Unfilled, Self> {
        if !self.node.is_unique() {
            return Err(self);
        }
        Ok(Unfilled { node: self.node })
    }

    /// Cuts the bytes into pieces of `segment_len`, the last of which may be shorter. Each piece can be written and
    /// sent to another thread; the descriptor goes home when the last is gone.
    ///
    /// A `segment_len` of zero means one piece, as the kernel reports a receive that it did not coalesce. Without any
    /// bytes there are no segments.
    ///
    /// # Errors
    ///
    /// The bytes are shared; the handle comes back unchanged.
    pub fn into_segments(self, segment_len: usize) -> Result<Segments, Self> {
        if !self.node.is_unique() {
            return Err(self);
        }
        let segment_len = match segment_len {
            0 => self.len,
            len => len,
        };
        let node = (self.len > 0).then_some(self.node);
        Ok(Segments {
            node,
            rest: 0..self.len,
            segment_len,
        })
    }
}

impl Clone for Filled {
    fn clone(&self) -> Self {
        Self {
            node: self.node.share(),
            len: self.len,
        }
    }
}

impl Deref for Filled {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.node.get().access.shared();
        // SAFETY: a `Filled` shares its node with nothing but its clones, and none of them writes: an `Unfilled` or
        // `Segments` is only made of the last one, by value, so after every slice of it has ended
        unsafe { self.node.slice(0..self.len) }
    }
}

impl fmt::Debug for Filled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filled").field("len", &self.len).finish()
    }
}

/// The segments of a descriptor, in order. Those not taken are given up on drop.
pub struct Segments {
    /// None once the last segment has taken the reference; while there is one, `rest` is not empty.
    node: Option<Ref>,
    /// The bytes that belong to no segment yet.
    rest: Range<usize>,
    segment_len: usize,
}

impl Segments {
    /// Whether no segment is left.
    pub fn is_empty(&self) -> bool {
        self.node.is_none()
    }

    /// The bytes of the first segment.
    pub fn first_mut(&mut self) -> Option<&mut [u8]> {
        self.get_mut(0)
    }

    /// The bytes of one of the segments; the first has the index zero.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut [u8]> {
        let start = self.offset_of(index);
        let end = self.offset_of(index + 1);
        let node = self.node.as_mut().filter(|_| start < end)?;
        node.get().access.shared();
        // SAFETY:
        // * `rest` is within the node's bytes, and both offsets are within `rest`
        // * nobody else has a part of `rest`: `Segments` hands out each byte once, by taking it out of `rest`
        // * the result borrows `self` mutably
        Some(unsafe { node.slice_mut(start..end) })
    }

    /// Takes the first `count` segments off, to be owned by themselves; all of them if there are fewer.
    pub fn split_to(&mut self, count: usize) -> Self {
        let at = self.offset_of(count);
        let taken = self.rest.start..at;
        self.rest.start = at;
        let node = match self.rest.is_empty() {
            true => self.node.take(),
            false => self
                .node
                .as_ref()
                .filter(|_| !taken.is_empty())
                .map(Ref::share),
        };
        Self {
            node,
            rest: taken,
            segment_len: self.segment_len,
        }
    }

    /// Lets the first `count` segments go.
    pub fn advance(&mut self, count: usize) {
        self.rest.start = self.offset_of(count);
        if self.rest.is_empty() {
            self.node = None;
        }
    }

    /// Bytes of all segments.
    pub fn total_len(&self) -> usize {
        self.rest.len()
    }

    /// Where segment `index` starts, or where the last one ends.
    fn offset_of(&self, index: usize) -> usize {
        let offset = index.saturating_mul(self.segment_len);
        self.rest.start + offset.min(self.rest.len())
    }
}

impl Iterator for Segments {
    type Item = Segment;

    fn next(&mut self) -> Option<Segment> {
        let Self { node, rest, .. } = self.split_to(1);
        Some(Segment {
            node: node?,
            start: rest.start,
            len: rest.len(),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // no bytes are left without a node, and zero divides nothing
        let left = self.rest.len().div_ceil(self.segment_len.max(1));
        (left, Some(left))
    }
}

impl ExactSizeIterator for Segments {}

impl fmt::Debug for Segments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segments")
            .field("left", &self.len())
            .field("segment_len", &self.segment_len)
            .finish()
    }
}

/// A range of a descriptor, owned: nobody else reads or writes these bytes.
pub struct Segment {
    node: Ref,
    start: usize,
    /// `start + len <= capacity`, and no other segment of the node overlaps
    len: usize,
}

impl Deref for Segment {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.node.get().access.shared();
        // SAFETY:
        // * `Segments` hands out each byte once, and there is no other kind of handle while it or a segment exists:
        //   it was made of the only reference
        // * this segment writes only through `&mut self`
        unsafe { self.node.slice(self.start..self.start + self.len) }
    }
}

impl DerefMut for Segment {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.node.get().access.shared();
        // SAFETY: as in `deref`; the result borrows `self` mutably, so there is no second slice of the range
        unsafe { self.node.slice_mut(self.start..self.start + self.len) }
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment")
            .field("start", &self.start)
            .field("len", &self.len)
            .finish()
    }
}

/// A descriptor that is at home: nobody uses it.
pub(super) struct Idle(Box<Node>);

impl Idle {
    /// Allocates a descriptor of zeroes.
    pub(super) fn new(class: Class, capacity: usize) -> Self {
        Self(Box::new(Node {
            refs: AtomicU32::new(0),
            class,
            purpose: Purpose::Control,
            home: None,
            access: AccessCheck::new(),
            bytes: Buffer::new(capacity),
        }))
    }

    pub(super) fn class(&self) -> Class {
        self.0.class
    }

    /// What it was out for last.
    pub(super) fn purpose(&self) -> Purpose {
        self.0.purpose
    }

    /// Hands the descriptor to its one user. It returns itself to `home`, by [`Shared::put_back`].
    pub(super) fn check_out(self, purpose: Purpose, home: Arc<Shared>) -> Unfilled {
        let mut node = self.0;
        node.purpose = purpose;
        node.home = Some(home);
        // nobody else sees the node yet; whoever does gets it by a synchronised hand-over
        node.refs.store(1, Ordering::Relaxed);
        let node = Ref(NonNull::from(Box::leak(node)));
        Unfilled { node }
    }
}

/// The memory of a descriptor. Boxed while it is idle in the pool, behind [`Ref`]s while it is out.
struct Node {
    /// The number of [`Ref`]s; meaningless while the node is boxed.
    refs: AtomicU32,
    class: Class,
    /// What it is out for; what it was out for last while it is idle.
    purpose: Purpose,
    /// Where to go. None while idle, else the pool would own itself.
    home: Option<Arc<Shared>>,
    access: AccessCheck,
    bytes: Buffer,
}

// SAFETY: all but `bytes` is `Sync` by itself, which the loom build's `AccessCheck` stands in for. `bytes` is reached
// only through `Ref::slice` and `Ref::slice_mut`, whose callers prove that no write overlaps another access.
unsafe impl Sync for Node {}

/// One reference to a node that is out.
///
/// Invariant: `refs` of the node is the number of `Ref`s to it, and the node stays allocated while that is not zero.
struct Ref(NonNull<Node>);

// SAFETY: a `Ref` is an `Arc<Node>` in all but its drop, which moves the node to the pool: `Node` is `Send` and `Sync`.
unsafe impl Send for Ref {}

// SAFETY: as above; all that `&Ref` gives away is `&Node` and further references.
unsafe impl Sync for Ref {}

impl Ref {
    fn get(&self) -> &Node {
        // SAFETY: by the invariant the node is allocated, and while it is out nobody has it mutably: `Drop` makes it a
        // box again only after the last `Ref`
        unsafe { self.0.as_ref() }
    }

    fn share(&self) -> Self {
        // Relaxed: the new reference is handed to others by means that order it after this
        let before = self.get().refs.fetch_add(1, Ordering::Relaxed);
        if before > MAX_REFS {
            // Only leaked references get there. To wrap would free memory in use, and a panic could be caught.
            std::process::abort();
        }
        Self(self.0)
    }

    /// Whether this is the only reference. If so it stays so, for a further one is made of a reference.
    fn is_unique(&self) -> bool {
        // Acquire: pairs with the Release in `drop`, so what earlier users did to the bytes is done
        self.get().refs.load(Ordering::Acquire) == 1
    }

    /// # Safety
    ///
    /// * `range` is not written while the result lives
    unsafe fn slice(&self, range: Range<usize>) -> &[u8] {
        let (first, len) = self.get().bytes.range(range);
        // SAFETY:
        // * `first` and the length are of a range of the buffer, whose bytes are initialised and live as long as `self`
        //   does
        // * the caller promises that nobody writes them
        unsafe { std::slice::from_raw_parts(first, len) }
    }

    /// # Safety
    ///
    /// * `range` is neither read nor written by anyone else while the result lives
    unsafe fn slice_mut(&mut self, range: Range<usize>) -> &mut [u8] {
        let (first, len) = self.get().bytes.range(range);
        // SAFETY:
        // * as in `slice`; what the buffer points to may be written
        // * the caller promises that nobody else has the range
        unsafe { std::slice::from_raw_parts_mut(first, len) }
    }
}

impl Drop for Ref {
    fn drop(&mut self) {
        // The common case, a descriptor that was never shared, costs a load.
        if !self.is_unique() {
            // Release: what this user did to the bytes is done before the last one sees the count
            if self.get().refs.fetch_sub(1, Ordering::Release) != 1 {
                return;
            }
            // Acquire by a load, not a fence: the count is zero now and nobody changes it
            self.get().refs.load(Ordering::Acquire);
        }
        // SAFETY:
        // * the pointer is that of the box in `Idle::check_out`
        // * this was the last reference (the count was one, and it was ours; or we took it from one to zero), and it
        //   is not used again: `drop` runs once
        // * all accesses by others happened before, by the Acquire on either path
        let mut node = unsafe { Box::from_raw(self.0.as_ptr()) };
        // always there while the node is out; without it the box would just be freed
        if let Some(home) = node.home.take() {
            home.put_back(Idle(node));
        }
    }
}

/// As in `Arc`: half the range, so that no number of threads can overflow it between the addition and the check.
const MAX_REFS: u32 = u32::MAX / 2;
