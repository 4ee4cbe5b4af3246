//! Serves clients: accepts them, reads their requests, decides, and carries what is allowed.

mod admit;
mod answer;
mod asking;
mod capture;
mod caught;
mod client;
mod client_hello;
mod ending;
mod exchange;
mod forward;
mod h2;
mod headers;
mod ledger;
mod opened;
mod request;
mod request_body;
mod request_look;
mod state;
mod tunnel;
mod uploads;
mod upstream;
mod upstream_proxy;
mod upstream_response;
mod upstream_tls;
mod websocket;
mod words;

pub(crate) use admit::Denial;
pub use ending::end_rules;
pub use state::{Server, Snapshot};

use std::io;
use std::sync::Arc;
use std::time::Duration;

use claude_bottle_egress_policy::Code;
use serde_json::json;

use crate::http::response;
use crate::log;
use crate::net::listen::{Listener, Peer};
use crate::net::stream::Stream;

/// Time for a refused client to read why.
const LINGER: Duration = Duration::from_secs(2);

/// Time to wait when the process is out of descriptors, so that accepting does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts clients until the server stops.
pub async fn accept_all(server: Arc<Server>, listener: Listener) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = server.stopped() => return,
        };
        match accepted {
            Ok((stream, peer)) => admit_client(&server, stream, peer),
            Err(error) => pause(&error).await,
        }
    }
}

fn admit_client(server: &Arc<Server>, stream: Stream, peer: Peer) {
    let snapshot = server.snapshot();
    if !is_served(&snapshot, peer) {
        // Whoever this is learns nothing, not even that a proxy is here.
        return;
    }
    let Some(place) = server.take_permit(snapshot.config.limits.max_connections) else {
        tokio::spawn(turn_away(stream));
        return;
    };
    let server = Arc::clone(server);
    tokio::spawn(async move {
        client::serve(server, stream, peer).await;
        drop(place);
    });
}

/// Tells whether the peer is the bottle, or the health check on the guard's own loopback.
fn is_served(snapshot: &Snapshot, peer: Peer) -> bool {
    let ranges = &snapshot.config.clients;
    match peer {
        Peer::Unix => true,
        Peer::Tcp(address) => {
            let ip = address.ip().to_canonical();
            ranges.is_empty() || ip.is_loopback() || ranges.iter().any(|range| range.contains(&ip))
        }
    }
}

/// Says that there is no place, without reading a byte. Bounded in time, so that these do not pile up for long.
async fn turn_away(stream: Stream) {
    let code = Code::TooManyConnections;
    let answer = response::refusal(&response::Refusal {
        error: "egress_denied",
        code,
        host: "",
        port: 0,
        rule: None,
        reason: "too many connections are open",
        hint: code.hint(),
    });
    if tokio::time::timeout(LINGER, stream.write_all(&answer)).await.is_ok() {
        stream.linger(ACCEPT_PAUSE).await;
    }
}

async fn pause(error: &io::Error) {
    log::event("accept_failed", &json!({ "error": error.to_string() }));
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

#[cfg(test)]
mod tests {
    use claude_bottle_egress_policy::{GuardConfig, Listen, Policy};

    use super::*;

    #[test]
    fn only_the_bottle_and_the_health_check_are_served() {
        let mut config = GuardConfig::new("test", Listen::Unix("/nowhere".into()), Policy::default());
        let served = |config: &GuardConfig, address: &str| {
            is_served(&Snapshot::new(config.clone()).unwrap(), Peer::Tcp(address.parse().unwrap()))
        };
        assert!(served(&config, "192.0.2.1:1"));
        config.clients = vec!["172.18.0.0/16".parse().unwrap()];
        for (address, expected) in [
            ("172.18.0.3:1", true),
            ("[::ffff:172.18.0.3]:1", true),
            ("127.0.0.1:1", true),
            ("[::1]:1", true),
            ("172.19.0.1:1", false),
            ("192.0.2.1:1", false),
            ("[2001:db8::1]:1", false),
        ] {
            assert_eq!(served(&config, address), expected, "{address}");
        }
        assert!(is_served(&Snapshot::new(config).unwrap(), Peer::Unix));
    }
}
