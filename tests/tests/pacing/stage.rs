// SPDX-License-Identifier: Apache-2.0

//! A client and a server of this tree on a network, for tests that measure.
//!
//! The rule: what they do is the test's; here is only what is the same in each.

use bach::{environment::default::Runtime, ext::*};
use s2n_quic_dc::testing::secrets::Agreement;
use s2n_quic_dc_tests::{
    endpoint::Side,
    sim::{
        network::{Network, Node},
        peer::{Endpoint, Socket, CLIENT_PORT, SERVER_PORT},
    },
};
use std::{
    future::Future,
    sync::{Arc, Mutex},
};

pub(crate) struct Stage {
    pub(crate) to_server: Vec<Node>,
    pub(crate) to_client: Vec<Node>,
    pub(crate) client: Socket,
}

pub(crate) struct Ends {
    pub(crate) network: Network,
    pub(crate) client: Endpoint,
    pub(crate) server: Endpoint,
}

impl Stage {
    /// Runs a simulation until `play` has ended
    pub(crate) fn play<F, P>(self, play: P) -> F::Output
    where
        P: FnOnce(Ends) -> F + Send + 'static,
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let network = Network::new(1, &self.to_server, &self.to_client);
        let mut runtime = Runtime::new().with_net_queues(Some(Box::new(network.clone())));
        let output = Arc::new(Mutex::new(None));
        let slot = output.clone();
        let socket = self.client;
        runtime.run(|| {
            async move {
                let ends = bind(network, socket).await;
                let output = play(ends).await;
                *slot.lock().unwrap() = Some(output);
            }
            .primary()
            .spawn_named("director");
        });
        let output = output.lock().unwrap().take();
        output.unwrap()
    }
}

async fn bind(network: Network, socket: Socket) -> Ends {
    let server = async { Endpoint::bind(Side::New, SERVER_PORT, Socket::default()).unwrap() };
    let server = server.group("server").await;
    let client = async move { Endpoint::bind(Side::New, CLIENT_PORT, socket).unwrap() };
    let client = client.group("client").await;
    server.share_secret(&client, 0, &Agreement::default());
    Ends {
        network,
        client,
        server,
    }
}
