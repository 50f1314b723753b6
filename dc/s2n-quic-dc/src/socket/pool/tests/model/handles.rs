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
