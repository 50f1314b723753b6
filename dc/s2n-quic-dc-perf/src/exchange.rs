// SPDX-License-Identifier: Apache-2.0

//! What the two ends say to each other: a request with its data, and an answer that begins with a verdict on it.
//!
//! The one rule: uploads, downloads and calls are one exchange with other lengths, so that one server serves them all.
//!
//! ```text
//! client: header, data            server: verdict, data
//! upload          all of it               none
//! download        none                    all of it
//! call            the request             the response
//! ```
//!
//! Numbers are little endian.

use crate::{
    pattern::{Fault, Pattern},
    size::Size,
};
use std::fmt;

/// One request and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The seed of the data's patterns.
    pub seed: u64,
    /// Bytes of data that the client sends, at most [`Size::MAX`].
    pub request: u64,
    /// Bytes of data that the server sends, at most [`Size::MAX`].
    pub response: u64,
    /// What follows on the client's half of the stream.
    pub then: Then,
}

/// What follows an exchange on its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The end, which the server waits for before it judges.
    End,
    /// Perhaps another exchange.
    More,
}

impl Exchange {
    /// Bytes of the header: what follows, seed, request, response.
    pub const HEADER_LEN: usize = 1 + 3 * 8;

    /// The header.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::HEADER_LEN] {
        let mut bytes = [0; Self::HEADER_LEN];
        bytes[0] = match self.then {
            Then::End => END,
            Then::More => MORE,
        };
        bytes[1..9].copy_from_slice(&self.seed.to_le_bytes());
        bytes[9..17].copy_from_slice(&self.request.to_le_bytes());
        bytes[17..].copy_from_slice(&self.response.to_le_bytes());
        bytes
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    ///
    /// [`BadHeader`] if it is none or asks for too much.
    pub fn decode(bytes: &[u8; Self::HEADER_LEN]) -> Result<Self, BadHeader> {
        let then = match bytes[0] {
            END => Then::End,
            MORE => Then::More,
            other => return Err(BadHeader::Kind(other)),
        };
        let (seed, request, response) = (number(bytes, 1), number(bytes, 9), number(bytes, 17));
        if let Some(length) = [request, response].into_iter().find(|len| *len > Size::MAX) {
            return Err(BadHeader::Length(length));
        }
        Ok(Self {
            seed,
            request,
            response,
            then,
        })
    }

    /// The bytes that the client sends.
    #[must_use]
    pub const fn request_pattern(&self) -> Pattern {
        Pattern::new(self.seed)
    }

    /// The bytes that the server sends: others, so that an echo does not pass for an answer.
    #[must_use]
    pub const fn response_pattern(&self) -> Pattern {
        Pattern::new(!self.seed)
    }
}

/// Why a server does not understand a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHeader {
    /// The first byte is not that of a header.
    #[error("a request starts with {0}, which none does")]
    Kind(u8),
    /// More than [`Size::MAX`] bytes.
    #[error("a length of {0} bytes is over 1TB")]
    Length(u64),
}

/// The server's judgement of what the client sent: a byte for the kind, then how many bytes it received up to there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict(Result<u64, Fault>);

impl Verdict {
    /// Bytes of an encoded verdict: kind, count.
    pub const LEN: usize = 1 + 8;

    /// The verdict on `length` bytes that ended as `outcome`.
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

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Ok(received) => write!(f, "{received} bytes, all right"),
            Err(fault) => write!(f, "{fault} at byte {}", fault.position()),
        }
    }
}

/// The eight bytes from `start` on as a number.
fn number(bytes: &[u8], start: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[start..start + 8]);
    u64::from_le_bytes(number)
}

// No code is zero, so that memory that nobody wrote is not taken for a header or a verdict.
const END: u8 = 1;
const MORE: u8 = 2;
const RIGHT: u8 = 1;
const CONTENT: u8 = 2;
const SHORT: u8 = 3;
const LONG: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(then: Then) -> Exchange {
        Exchange {
            seed: 0x0123_4567_89ab_cdef,
            request: Size::MAX,
            response: 7,
            then,
        }
    }

    #[test]
    fn a_header_reads_back_as_itself() {
        for then in [Then::End, Then::More] {
            let exchange = exchange(then);
            assert_eq!(Exchange::decode(&exchange.encode()), Ok(exchange));
        }
    }

    #[test]
    fn what_is_no_header_or_asks_for_too_much_is_refused() {
        let mut bytes = exchange(Then::End).encode();
        bytes[0] = 0;
        assert_eq!(Exchange::decode(&bytes), Err(BadHeader::Kind(0)));
        let too_long = Size::MAX + 1;
        for (request, response) in [(too_long, 0), (0, too_long)] {
            let header = Exchange {
                request,
                response,
                ..exchange(Then::End)
            };
            let refused = Exchange::decode(&header.encode());
            assert_eq!(refused, Err(BadHeader::Length(too_long)));
        }
    }

    #[test]
    fn an_answer_differs_from_its_request() {
        let exchange = exchange(Then::End);
        assert_ne!(exchange.request_pattern(), exchange.response_pattern());
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
