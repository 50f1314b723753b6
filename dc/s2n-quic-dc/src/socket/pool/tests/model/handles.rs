// SPDX-License-Identifier: Apache-2.0

//! What is done with a descriptor that is held: the operations on one handle, and the content it must have.

use super::*;

impl Model {
    pub(super) fn apply_to(&mut self, held: Held, op: Op) {
        let Held {
            id,
            handle,
            mut expected,
        } = held;
        let handle = match (op, handle) {
            (Op::Drop { .. }, handle) => return drop(handle),
            (Op::Fill { len, .. }, Handle::Unfilled(unfilled)) => {
                let capacity = unfilled.capacity();
                match unfilled.fill(len as usize) {
                    Ok(filled) => {
                        assert!(len as usize <= capacity);
                        expected.truncate(len as usize);
                        Handle::Filled(filled)
                    }
                    Err(error) => {
                        assert!(len as usize > capacity);
                        Handle::Unfilled(error.unfilled)
                    }
                }
            }
            (Op::Clone { .. }, Handle::Filled(filled)) => {
                let handle = Handle::Filled(filled.clone());
                self.held.push(Held {
                    id,
                    handle,
                    expected: expected.clone(),
                });
                Handle::Filled(filled)
            }
            (Op::Reuse { .. }, Handle::Filled(filled)) => match filled.try_into_unfilled() {
                Ok(mut unfilled) => {
                    assert!(!self.is_held(id));
                    expected = self.stamp();
                    write(unfilled.as_mut_slice(), &mut expected);
                    Handle::Unfilled(unfilled)
                }
                Err(filled) => {
                    assert!(self.is_held(id));
                    Handle::Filled(filled)
                }
            },
            (Op::Cut { segment_len, .. }, Handle::Filled(filled)) => {
                match filled.into_segments(segment_len as usize) {
                    Ok(segments) => {
                        assert!(!self.is_held(id));
                        let segment_len = if segment_len == 0 {
                            expected.len()
                        } else {
                            segment_len as usize
                        };
                        if expected.is_empty() {
                            assert_eq!(segments.len(), 0);
                            return;
                        }
                        Handle::Segments(segments, segment_len)
                    }
                    Err(filled) => {
                        assert!(self.is_held(id));
                        Handle::Filled(filled)
                    }
                }
            }
            (Op::Take { .. }, Handle::Segments(mut segments, segment_len)) => {
                let rest = expected.split_off(segment_len.min(expected.len()));
                let handle = Handle::Segment(segments.next().unwrap());
                self.held.push(Held {
                    id,
                    handle,
                    expected,
                });
                if rest.is_empty() {
                    assert!(segments.next().is_none());
                    return;
                }
                expected = rest;
                Handle::Segments(segments, segment_len)
            }
            (Op::Split { count, .. }, Handle::Segments(mut segments, segment_len)) => {
                let len = segment_len * count as usize;
                let rest = expected.split_off(len.min(expected.len()));
                let taken = segments.split_to(count as usize);
                assert_eq!(taken.total_len(), expected.len());
                assert_eq!(taken.is_empty(), expected.is_empty());
                if !taken.is_empty() {
                    let handle = Handle::Segments(taken, segment_len);
                    self.held.push(Held {
                        id,
                        handle,
                        expected,
                    });
                }
                assert_eq!(segments.total_len(), rest.len());
                if segments.is_empty() {
                    return;
                }
                expected = rest;
                Handle::Segments(segments, segment_len)
            }
            (Op::Skip { count, .. }, Handle::Segments(mut segments, segment_len)) => {
                let len = segment_len * count as usize;
                expected.drain(..len.min(expected.len()));
                segments.advance(count as usize);
                assert_eq!(segments.is_empty(), expected.is_empty());
                if segments.is_empty() {
                    return;
                }
                Handle::Segments(segments, segment_len)
            }
            (Op::Write { .. }, Handle::Segments(mut segments, segment_len)) => {
                let last = segments.len() - 1;
                let stamp = self.stamp();
                for (index, expected) in expected.chunks_mut(segment_len).enumerate() {
                    let bytes = segments.get_mut(index).unwrap();
                    assert_eq!(bytes, expected);
                    if index == 0 || index == last {
                        expected.copy_from_slice(&stamp[..expected.len()]);
                        bytes.copy_from_slice(expected);
                    }
                }
                assert!(segments.get_mut(last + 1).is_none());
                Handle::Segments(segments, segment_len)
            }
            (Op::Write { .. }, Handle::Unfilled(mut unfilled)) => {
                expected = self.stamp();
                write(unfilled.as_mut_slice(), &mut expected);
                Handle::Unfilled(unfilled)
            }
            (Op::Write { .. }, Handle::Segment(mut segment)) => {
                expected = self.stamp();
                write(&mut segment, &mut expected);
                Handle::Segment(segment)
            }
            (_, handle) => handle,
        };
        self.held.push(Held {
            id,
            handle,
            expected,
        });
    }

    /// Bytes that no other write has.
    pub(super) fn stamp(&mut self) -> Vec<u8> {
        self.stamp += 1;
        self.stamp
            .to_le_bytes()
            .into_iter()
            .cycle()
            .take(BURST)
            .collect()
    }

    /// Reads what could not be read without writing, then drops all.
    pub(super) fn finish(mut self) {
        for held in std::mem::take(&mut self.held) {
            match held.handle {
                Handle::Unfilled(mut unfilled) => {
                    assert_eq!(*unfilled.as_mut_slice(), *held.expected)
                }
                Handle::Segments(segments, len) => {
                    let rest: Vec<_> = segments.collect();
                    assert!(rest
                        .iter()
                        .map(|segment| &**segment)
                        .eq(held.expected.chunks(len)));
                }
                Handle::Filled(_) | Handle::Segment(_) => {}
            }
        }
        for someone in &mut self.someone {
            someone.waiter.cancel();
        }
        let stats = self.pool.stats();
        assert_eq!(
            (stats.in_use_bytes, stats.data_bytes, stats.waiters),
            (0, 0, 0)
        );
    }
}

/// Writes as much of `stamp` as fits, and cuts it to that.
pub(super) fn write(bytes: &mut [u8], stamp: &mut Vec<u8>) {
    stamp.truncate(bytes.len());
    bytes.copy_from_slice(stamp);
}
