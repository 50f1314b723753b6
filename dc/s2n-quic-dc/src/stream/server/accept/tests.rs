// SPDX-License-Identifier: Apache-2.0

//! What `accept` says when the environment is gone.

use super::*;
use crate::event::disabled::Subscriber;

#[tokio::test]
async fn accept_without_an_environment_is_not_connected() {
    let (sender, receiver) = channel::<Subscriber>(8);
    let (stats, _worker, _stats) = stats::channel();
    drop(sender);

    for _ in 0..2 {
        let error = accept(&receiver, &stats).await.map(drop).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotConnected);
    }
}

#[tokio::test]
async fn accept_that_waits_ends_with_the_environment() {
    let (sender, receiver) = channel::<Subscriber>(8);
    let waiting = tokio::spawn(async move { receiver.next().await.map(drop) });
    tokio::task::yield_now().await;

    drop(sender);

    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotConnected);
}

#[test]
fn the_future_of_accept_is_send() {
    fn is_send<T: Send>(_: &T) {}

    let (_sender, receiver) = channel::<Subscriber>(8);
    let (stats, _worker, _stats) = stats::channel();
    is_send(&accept(&receiver, &stats));
}
