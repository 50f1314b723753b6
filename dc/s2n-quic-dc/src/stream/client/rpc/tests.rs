// SPDX-License-Identifier: Apache-2.0

//! How the two directions of a call decide its outcome.

use super::*;
use std::{
    cell::Cell,
    future::{pending, ready},
};

#[tokio::test]
async fn the_response_ends_the_call_while_the_request_is_still_sent() {
    let (answer, received, upload) = exchange(pending(), ready(Ok(("answer", 6)))).await.unwrap();

    assert_eq!((answer, received), ("answer", 6));
    assert!(matches!(upload, Upload::Sending));
}

#[tokio::test]
async fn a_refused_request_leaves_the_response_to_come() {
    let answer = async {
        tokio::task::yield_now().await;
        Ok(("answer", 6))
    };

    let (answer, _, upload) = exchange(refuse(io::ErrorKind::ConnectionReset), answer)
        .await
        .unwrap();

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
        let result = exchange(refuse(kind), pending::<io::Result<((), usize)>>()).await;
        assert_eq!(result.map(drop).unwrap_err().kind(), kind);
    }
}

#[tokio::test]
async fn a_failure_of_the_response_ends_the_call() {
    let failure = ready(Err::<((), usize), _>(io::ErrorKind::TimedOut.into()));

    let error = exchange(pending(), failure).await.map(drop).unwrap_err();

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

    let (_, _, upload) = exchange(send, receive).await.unwrap();

    assert!(matches!(upload, Upload::Sent));
    assert_eq!(polls.get(), 1);
}

async fn refuse(kind: io::ErrorKind) -> io::Result<()> {
    Err(kind.into())
}
