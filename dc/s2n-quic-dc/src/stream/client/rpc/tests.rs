// SPDX-License-Identifier: Apache-2.0

//! How the two directions of a call decide its outcome.

use super::*;
use bytes::Bytes;
use std::{
    cell::Cell,
    future::{pending, ready},
};

#[tokio::test]
async fn the_response_ends_the_call_while_the_request_is_still_sent() {
    let (answer, received, upload) = exchange(pin!(pending()), pin!(ready(Ok(("answer", 6)))))
        .await
        .unwrap();

    assert_eq!((answer, received), ("answer", 6));
    assert!(matches!(upload, Upload::Sending));
}

#[tokio::test]
async fn a_refused_request_leaves_the_response_to_come() {
    let answer = async {
        tokio::task::yield_now().await;
        Ok(("answer", 6))
    };

    let refused = refuse(io::ErrorKind::ConnectionReset);
    let (answer, _, upload) = exchange(pin!(refused), pin!(answer)).await.unwrap();

    assert_eq!(answer, "answer");
    assert!(matches!(upload, Upload::Refused(_)));
}

#[tokio::test]
async fn any_other_failure_of_the_request_ends_the_call() {
    for kind in [
        io::ErrorKind::TimedOut,
        io::ErrorKind::PermissionDenied,
        io::ErrorKind::ConnectionRefused,
    ] {
        let result = exchange(
            pin!(refuse(kind)),
            pin!(pending::<io::Result<((), usize)>>()),
        )
        .await;
        assert_eq!(result.map(drop).unwrap_err().kind(), kind);
    }
}

#[tokio::test]
async fn a_failure_of_the_response_ends_the_call() {
    let failure = ready(Err::<((), usize), _>(io::ErrorKind::TimedOut.into()));

    let error = exchange(pin!(pending()), pin!(failure))
        .await
        .map(drop)
        .unwrap_err();

    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn a_request_that_is_done_is_not_polled_again() {
    let polls = Cell::new(0);
    let send = poll_fn(|_| {
        polls.set(polls.get() + 1);
        Poll::Ready(Ok(()))
    });
    let receive = async {
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        Ok(((), 0))
    };

    let (_, _, upload) = exchange(pin!(send), pin!(receive)).await.unwrap();

    assert!(matches!(upload, Upload::Sent));
    assert_eq!(polls.get(), 1);
}

#[test]
fn a_call_holds_each_of_its_halves_once() {
    type Sub = event::disabled::Subscriber;
    type Answer = InMemoryResponse<Vec<u8>>;
    let halves =
        len_of_two(upload_request::<Sub, Bytes>) + len_of_two(download_response::<Sub, Answer>);
    let given = size_of::<Stream<Sub>>() + size_of::<Bytes>() + size_of::<Answer>();

    let call = len_of_three(from_stream::<Sub, Bytes, Answer>);

    assert!(
        call < 2 * given + halves + halves / 2,
        "{call} bytes, {given} of them given, {halves} of the halves"
    );
}

/// Bytes of the future that the function returns
fn len_of_two<A, B, F: Future>(_: fn(A, B) -> F) -> usize {
    size_of::<F>()
}

fn len_of_three<A, B, C, F: Future>(_: fn(A, B, C) -> F) -> usize {
    size_of::<F>()
}

async fn refuse(kind: io::ErrorKind) -> io::Result<()> {
    Err(kind.into())
}
