// SPDX-License-Identifier: Apache-2.0

//! What the two ends say to each other besides the data: the request that opens a stream, and the verdict that ends an upload.
//!
//! The one rule: both have a fixed length, so that neither end has to guess where the data begins. Numbers are little endian.
//!
//! ```text
//! upload    client: request, data, end      server: verdict, end
//! download  client: request, end            server: data, end
//! ```

use crate::{
    pattern::{Fault, Pattern},
    size::Size,
};
use std::fmt;

/// Which way the data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The client writes and the server verifies.
    Upload,
    /// The server writes and the client verifies.
    Download,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Upload => "upload",
            Self::Download => "download",
        })
    }
}

/// What a client asks for on one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which way the data goes.
    pub direction: Direction,
    /// The seed of the data's [`Pattern`].
    pub seed: u64,
    /// Bytes of data, at most [`Size::MAX`].
    pub length: u64,
}

impl Request {
    /// Bytes of an encoded request: direction, seed, length.
    pub const LEN: usize = 1 + 8 + 8;

    /// The bytes that open the stream.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[0] = match self.direction {
            Direction::Upload => UPLOAD,
            Direction::Download => DOWNLOAD,
        };
        bytes[1..9].copy_from_slice(&self.seed.to_le_bytes());
        bytes[9..].copy_from_slice(&self.length.to_le_bytes());
        bytes
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    ///
    /// [`BadRequest`] if the direction is unknown or the length out of range.
    pub fn decode(bytes: &[u8; Self::LEN]) -> Result<Self, BadRequest> {
        let (seed, length) = (number(bytes, 1), number(bytes, 9));
        let direction = match bytes[0] {
            UPLOAD => Direction::Upload,
            DOWNLOAD => Direction::Download,
            other => return Err(BadRequest::Direction(other)),
        };
        if length > Size::MAX {
            return Err(BadRequest::Length(length));
        }
        Ok(Self {
            direction,
            seed,
            length,
        })
    }

    /// The bytes that are transferred.
    #[must_use]
    pub const fn pattern(&self) -> Pattern {
        Pattern::new(self.seed)
    }
}

/// Why a server does not understand a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    /// The first byte names no direction.
    #[error("unknown direction {0}")]
    Direction(u8),
    /// More than [`Size::MAX`] bytes.
    #[error("length of {0} bytes is over 1TB")]
    Length(u64),
}

/// The server's judgement of an upload: one byte for the kind, then how many bytes it received up to there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict(Result<u64, Fault>);

impl Verdict {
    /// Bytes of an encoded verdict: kind, count.
    pub const LEN: usize = 1 + 8;

    /// The verdict on an upload of `length` bytes that ended as `outcome`.
    #[must_use]
    pub fn new(outcome: Result<(), Fault>, length: u64) -> Self {
        Self(outcome.map(|()| length))
    }

    /// The number of bytes received without fault.
    ///
    /// # Errors
    ///
    /// The fault that the server found.
    pub const fn outcome(self) -> Result<u64, Fault> {
        self.0
    }

    /// The bytes that the server answers with.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::LEN] {
        let (kind, count) = match self.0 {
            Ok(received) => (RIGHT, received),
            Err(Fault::Content { at }) => (CONTENT, at),
            Err(Fault::Short { received }) => (SHORT, received),
            Err(Fault::Long { received }) => (LONG, received),
        };
        let mut bytes = [kind; Self::LEN];
        bytes[1..].copy_from_slice(&count.to_le_bytes());
        bytes
    }

    /// Reads what [`Self::encode`] wrote; nothing if the kind is unknown.
    #[must_use]
    pub fn decode(bytes: &[u8; Self::LEN]) -> Option<Self> {
        let received = number(bytes, 1);
        Some(Self(match bytes[0] {
            RIGHT => Ok(received),
            CONTENT => Err(Fault::Content { at: received }),
            SHORT => Err(Fault::Short { received }),
            LONG => Err(Fault::Long { received }),
            _ => return None,
        }))
    }
}

/// The eight bytes from `start` on as a number.
fn number(bytes: &[u8], start: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[start..start + 8]);
    u64::from_le_bytes(number)
}

// No code is zero, so that memory that nobody wrote is not taken for a request or a verdict.
const UPLOAD: u8 = 1;
const DOWNLOAD: u8 = 2;
const RIGHT: u8 = 1;
const CONTENT: u8 = 2;
const SHORT: u8 = 3;
const LONG: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_reads_back_as_itself() {
        for direction in [Direction::Upload, Direction::Download] {
            let request = Request {
                direction,
                seed: 0x0123_4567_89ab_cdef,
                length: Size::MAX,
            };
            assert_eq!(Request::decode(&request.encode()), Ok(request));
        }
    }

    #[test]
    fn a_request_with_an_unknown_direction_or_too_large_a_length_is_refused() {
        let mut request = Request {
            direction: Direction::Upload,
            seed: 1,
            length: Size::MAX + 1,
        };
        assert_eq!(
            Request::decode(&request.encode()),
            Err(BadRequest::Length(Size::MAX + 1))
        );
        request.length = 1;
        let mut bytes = request.encode();
        bytes[0] = 0;
        assert_eq!(Request::decode(&bytes), Err(BadRequest::Direction(0)));
    }

    #[test]
    fn every_verdict_reads_back_as_itself() {
        for outcome in [
            Ok(()),
            Err(Fault::Content { at: 5 }),
            Err(Fault::Short { received: 6 }),
            Err(Fault::Long { received: 7 }),
        ] {
            let verdict = Verdict::new(outcome, 100);
            assert_eq!(Verdict::decode(&verdict.encode()), Some(verdict));
            assert_eq!(verdict.outcome().err(), outcome.err());
        }
        assert_eq!(Verdict::decode(&[0; Verdict::LEN]), None);
    }
}
