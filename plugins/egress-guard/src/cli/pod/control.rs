//! What the host asks of the guard.

use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bottle_guest::pod::frame::{Frame, Kind};
use bottle_guest::pod::server::{Channel, Serve};
use bottle_guest::pod::verbs::{Hello, Outcome, Seen, VERSION, Verb, Welcome};
use bottle_guest::pod::wall::reach;
use claude_bottle_egress_policy::MOST_RELOAD_BYTES;
use serde_json::json;
use tokio::runtime::Handle;
use zeroize::Zeroizing;

use super::lifeline::Lifeline;
use crate::cli::source::{Documents, read_documents};
use crate::cli::{chain, reload, run};
use crate::error::GuardError;
use crate::log::{self, Recent, event};
use crate::serve::Server;

/// How often a reader of decisions is looked for while there are none.
const LOOK: Duration = Duration::from_secs(1);

/// The most places that are tried at once.
const MOST_TARGETS: usize = 64;

/// An address of nobody, to which nothing is sent: <https://www.rfc-editor.org/rfc/rfc5737>.
const ELSEWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);

/// The guard as its host has it.
pub(super) struct Control {
    runtime: Handle,
    lifeline: Lifeline,
    has_bottle: AtomicBool,
    /// Held while a policy is taken, of which there is one.
    serving: Mutex<Option<log::Writer>>,
    server: Mutex<Option<Arc<Server>>>,
    recent: Recent,
}

impl Control {
    pub(super) fn new(runtime: Handle, lifeline: Lifeline) -> Self {
        Self {
            runtime,
            lifeline,
            has_bottle: AtomicBool::new(false),
            serving: Mutex::new(None),
            server: Mutex::new(None),
            recent: Recent::default(),
        }
    }

    /// Notes that process 1 has come.
    pub(super) fn note_bottle(&self) {
        self.has_bottle.store(true, Ordering::Release);
    }

    /// Ends what is let through.
    pub(super) fn stop(&self) {
        // The last decision is written when nothing has the server any more.
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(server) = server {
            server.stop();
            self.runtime.block_on(run::drain(&server));
        }
    }

    fn server(&self) -> Option<Arc<Server>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for the last decision to be written.
    pub(super) fn finish(&self) {
        let writer = self.serving.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            writer.finish(run::GRACE);
        }
        self.recent.end();
    }

    fn take_policy(&self, channel: &Channel) -> Result<Outcome, GuardError> {
        // Nothing is held while the host is waited for.
        let snapshot = read_documents(&mut Documents::new(channel.input()))?;
        let mut serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner);
        if serving.is_some() {
            return Err(GuardError::HasPolicy);
        }
        let (logger, writer) = log::open_with(&snapshot.config.log, Some(self.recent.clone()))?;
        let listening = self.runtime.block_on(run::begin(snapshot, logger))?;
        let run::Listening { server, listener, ready } = listening;
        self.runtime.spawn(run::accept(Arc::clone(&server), listener));
        event("listening", &ready);
        *serving = Some(writer);
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
        let text = |key: &str| ready[key].as_str().map(str::to_owned);
        Ok(Outcome::Listening { address: text("address").unwrap_or_default(), ca: text("ca") })
    }

    fn reload(&self, channel: &Channel) -> Result<Outcome, GuardError> {
        let server = self.server().ok_or(GuardError::HasNoPolicy)?;
        let mut line = Zeroizing::new(Vec::new());
        let limit = MOST_RELOAD_BYTES as u64;
        channel
            .input()
            .take(limit)
            .read_to_end(&mut line)
            .map_err(|source| GuardError::Process { source })?;
        while line.last() == Some(&b'\n') {
            line.pop();
        }
        let answer = self.runtime.block_on(reload::apply(&server, &line));
        Ok(Outcome::Answer { line: json!(answer).to_string() })
    }

    /// Tells decisions until there are no more, or nothing listens.
    fn tell(&self, channel: &Arc<Channel>, from: u64, follow: bool) -> Outcome {
        let mut known = from;
        let patience = if follow { LOOK } else { Duration::ZERO };
        while let Some((text, last)) = self.recent.after(known, patience) {
            known = last;
            if text.is_empty() && !follow {
                break;
            }
            let sent = text.is_empty() || channel.send(Kind::Out, text).is_ok();
            if !sent || channel.is_closed() {
                break;
            }
        }
        Outcome::Done
    }
}

impl Serve for Control {
    fn serve(&self, verb: Verb, channel: &Arc<Channel>) -> Outcome {
        let failed = |error: GuardError| Outcome::Failed { message: chain(&error) };
        match verb {
            Verb::Policy => self.take_policy(channel).unwrap_or_else(failed),
            Verb::Reload => self.reload(channel).unwrap_or_else(failed),
            Verb::Log { from, follow } => self.tell(channel, from, follow),
            Verb::Prove { targets } => prove(&targets, channel)
                .unwrap_or_else(|error| Outcome::Failed { message: error.to_string() }),
            _ => Outcome::Failed { message: "this is for the bottle to do".to_owned() },
        }
    }

    fn greet(&self, frame: &Frame) -> Option<Frame> {
        let hello = serde_json::from_slice::<Hello>(&frame.payload).ok()?;
        if hello.version != VERSION {
            return None;
        }
        if let Some(grace) = hello.grace {
            self.lifeline.renew(Duration::from_secs(grace.into()));
        }
        if frame.kind == Kind::Beat {
            return Some(Frame::about(Kind::Beat, 0, 0));
        }
        let welcome = Welcome {
            version: VERSION,
            has_bottle: self.has_bottle.load(Ordering::Acquire),
            has_policy: self.server().is_some(),
        };
        Some(Frame::new(Kind::Welcome, 0, 0, serde_json::to_vec(&welcome).ok()?))
    }
}

/// Opens a port, tells which places answer from here, and keeps the port until the input ends.
fn prove(targets: &[SocketAddr], channel: &Arc<Channel>) -> io::Result<Outcome> {
    if targets.len() > MOST_TARGETS {
        return Err(io::Error::other(format!("{} places are too many to try", targets.len())));
    }
    let port = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let own = SocketAddr::new(own_address(targets.first()), port.local_addr()?.port());
    let all: Vec<_> = [own].into_iter().chain(targets.iter().copied()).collect();
    let seen: Vec<_> = all
        .iter()
        .zip(reach(&all))
        .map(|(target, error)| Seen { target: *target, answers: error.is_none() })
        .collect();
    channel.send(Kind::Out, serde_json::to_vec(&seen)?)?;
    io::copy(&mut channel.input(), &mut io::sink())?;
    Ok(Outcome::Done)
}

/// Returns the Pod's address towards a place. Nothing is sent.
fn own_address(towards: Option<&SocketAddr>) -> std::net::IpAddr {
    let find = |towards: &SocketAddr| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(towards)?;
        Ok::<_, io::Error>(socket.local_addr()?.ip())
    };
    let found = towards.filter(|towards| towards.is_ipv4()).and_then(|towards| find(towards).ok());
    // A Pod without a way out has its loopback at least.
    found.or_else(|| find(&ELSEWHERE).ok()).unwrap_or(Ipv4Addr::LOCALHOST.into())
}
