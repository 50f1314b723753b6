// SPDX-License-Identifier: Apache-2.0

//! The check is only worth something if it finds what is wrong: each test breaks the bytes in one way, everywhere.

use super::*;

/// Some packets, and a tail that is not a whole word.
const LEN: usize = 8192 + 13;

fn bytes(seed: u64) -> Vec<u8> {
    Pattern::new(seed).bytes(0, LEN).to_vec()
}

/// Hands `data` over in pieces that do not end at words, as a stream does.
fn verify(seed: u64, expected: usize, data: &[u8]) -> Result<(), Fault> {
    let mut verifier = Verifier::new(Pattern::new(seed), expected as u64);
    let mut rest = data;
    for len in [1, 7, 8, 1440, 3, 977].into_iter().cycle() {
        let (piece, more) = rest.split_at(len.min(rest.len()));
        verifier.push(piece);
        rest = more;
        if rest.is_empty() {
            break;
        }
    }
    verifier.finish()
}

#[test]
fn right_bytes_pass_whatever_the_pieces() {
    assert_eq!(verify(3, LEN, &bytes(3)), Ok(()));
}

#[test]
fn pieces_join_up_across_the_end_of_the_period() {
    let pattern = Pattern::new(9);
    let mut whole = Vec::new();
    while whole.len() < 3 * PERIOD {
        whole.extend_from_slice(pattern.bytes(whole.len() as u64, 100_003));
    }
    for start in (0..whole.len() - MAX_CHUNK).step_by(4099) {
        for len in [0, 1, 1440, MAX_CHUNK] {
            let piece = pattern.bytes(start as u64, len);
            assert_eq!(piece, &whole[start..start + len], "{start} {len}");
        }
    }
    assert_eq!(whole[..100], whole[PERIOD..PERIOD + 100]);
}

#[test]
fn the_period_is_a_prime() {
    let mut divisors = 2..=PERIOD.isqrt();
    assert!(divisors.all(|divisor| !PERIOD.is_multiple_of(divisor)));
}

#[test]
fn offsets_far_into_a_stream_are_those_of_the_period() {
    let pattern = Pattern::new(5);
    let far = PERIOD as u64 * 1_000_000;
    assert_eq!(pattern.bytes(far + 3, 100), pattern.bytes(3, 100));
    assert_eq!(
        pattern.first_difference(u64::MAX - 200, pattern.bytes(u64::MAX - 200, 100)),
        None
    );
}

#[test]
fn one_flipped_bit_is_found_at_its_position() {
    let mut data = bytes(1);
    for at in 0..LEN {
        let bit = 1 << (at % 8);
        data[at] ^= bit;
        let fault = verify(1, LEN, &data);
        assert_eq!(fault, Err(Fault::Content { at: at as u64 }));
        data[at] ^= bit;
    }
}

/// What follows a lost or a repeated byte is one position off, so the fault shows at once unless neighbours happen to be equal.
fn found_close_behind(fault: Result<(), Fault>, at: usize) {
    let position = match fault {
        Err(fault) => fault.position() as usize,
        Ok(()) => panic!("not found at {at}"),
    };
    assert!((at..at + 4).contains(&position), "{at} {position}");
}

#[test]
fn one_dropped_byte_is_found() {
    let data = bytes(1);
    for at in 0..LEN {
        let mut broken = data.clone();
        broken.remove(at);
        found_close_behind(verify(1, LEN, &broken), at);
    }
}

#[test]
fn one_duplicated_byte_is_found() {
    let data = bytes(1);
    for at in 0..LEN {
        let mut broken = data.clone();
        broken.insert(at, data[at]);
        found_close_behind(verify(1, LEN, &broken), at);
    }
}

#[test]
fn a_block_in_the_place_of_another_is_found_whatever_the_distance() {
    let data = bytes(1);
    // a word that stands at any other word's place differs in the word's first bytes or its last ones
    for from in (8..LEN - 8).step_by(8) {
        let mut broken = data.clone();
        broken.copy_within(from..from + 8, 0);
        assert!(verify(1, LEN, &broken).is_err(), "{from}");
    }
}

#[test]
fn shifted_bytes_are_found_whatever_the_distance() {
    let data = bytes(1);
    for shift in 1..LEN - 64 {
        let moved = &data[shift..shift + 64];
        assert!(
            Pattern::new(1).first_difference(0, moved).is_some(),
            "{shift}"
        );
    }
}

#[test]
fn two_swapped_packets_are_found() {
    let mut data = bytes(1);
    let (first, second) = data.split_at_mut(1440);
    first.swap_with_slice(&mut second[..1440]);
    assert_eq!(verify(1, LEN, &data), Err(Fault::Content { at: 0 }));
}

#[test]
fn another_streams_bytes_are_found() {
    for number in 0..1000 {
        let other = &bytes(number + 1)[..8];
        let pattern = Pattern::new(number);
        assert!(pattern.first_difference(0, other).is_some());
    }
}

#[test]
fn a_missing_end_and_a_surplus_are_told_apart_from_wrong_content() {
    let data = bytes(1);
    let short = LEN as u64 - 1;
    assert_eq!(
        verify(1, LEN, &data[..LEN - 1]),
        Err(Fault::Short { received: short })
    );
    assert_eq!(
        verify(1, LEN - 1, &data),
        Err(Fault::Long {
            received: LEN as u64
        })
    );
    // the surplus may be anything: nobody sent it
    let mut surplus = data.clone();
    surplus.push(!data[0]);
    assert_eq!(
        verify(1, LEN, &surplus),
        Err(Fault::Long {
            received: LEN as u64 + 1
        })
    );
    assert_eq!(verify(1, LEN, &[]), Err(Fault::Short { received: 0 }));
}

#[test]
fn the_first_of_several_faults_is_reported() {
    let mut data = bytes(1);
    data[100] ^= 1;
    data[50] ^= 1;
    data.truncate(200);
    assert_eq!(verify(1, LEN, &data), Err(Fault::Content { at: 50 }));
}
