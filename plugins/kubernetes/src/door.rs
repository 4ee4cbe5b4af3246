//! The door of a bottle: a connection to its guard, over which everything is said.
//!
//! It is an exec of one constant command in the guard's container: what a cluster keeps of an exec is its command line, and never the
//! stream. A connection that is lost is made again, and the calls on it go on where they were.

use std::io::{self, Read};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bottle_guest::pod::client::{Call as Channel, Link, Wire};
use bottle_guest::pod::verbs::{Hello, Outcome, Side, VERSION, Verb};
use claude_bottle_kit::printable;
use claude_bottle_plugin_api::{Failure, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{AttachParams, AttachedProcess};
use kube::client::UpgradeConnectionError;
use tokio::io::AsyncWriteExt;
use tokio::runtime::Handle;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;

use crate::cluster::{Cluster, PATIENCE};
use crate::error::KubernetesError;
use crate::pod::GUARD;
use crate::reason;

/// What is run in the guard's container.
const KNOCK: [&str; 2] = ["/egress-guard", "knock"];

/// How much of a stream waits for either side.
const BUFFER: usize = 256 * 1024;

/// How long the other side may take to say its last words.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A connection to a bottle.
pub(crate) struct Door {
    link: Link,
    /// The bottle's name, for messages.
    name: String,
}

impl Door {
    /// Opens a connection, of which the first stream may be there already. With `grace` the bottle ends when this process has been silent for that long.
    pub(crate) fn open(
        handle: &Handle,
        cluster: &Cluster,
        name: &str,
        grace: Option<u32>,
        first: Option<Wire>,
    ) -> Result<Self> {
        let first = Mutex::new(first);
        let (handle, cluster, pod) = (handle.clone(), cluster.clone(), name.to_owned());
        let dial = move || {
            let first = first.lock().unwrap_or_else(PoisonError::into_inner).take();
            first.map_or_else(|| handle.block_on(again(&cluster, &pod)), Ok)
        };
        let link =
            Link::open(dial, Hello { version: VERSION, grace }).map_err(|error| failure(name, &error))?;
        Ok(Self { link, name: name.to_owned() })
    }

    /// Begins a call.
    pub(crate) fn call(&self, side: Side, verb: &Verb) -> Result<Channel> {
        self.link.call(side, verb).map_err(|error| self.failure(&error))
    }

    /// Asks for something, with all of an input, and waits for the outcome. One that says it failed is a failure.
    pub(crate) fn ask(&self, side: Side, verb: &Verb, input: Option<&mut dyn Read>) -> Result<Outcome> {
        match self
            .link
            .ask(side, verb, input.unwrap_or(&mut io::empty()))
            .map_err(|error| self.failure(&error))?
        {
            Outcome::Failed { message } => Err(self.said(&message)),
            outcome => Ok(outcome),
        }
    }

    /// Makes the failure of an answer that says nothing here.
    pub(crate) fn unexpected(&self, what: &str) -> Failure {
        self.said(&format!("an answer to `{what}` that is not understood"))
    }

    /// Makes the failure of a connection.
    pub(crate) fn failure(&self, error: &io::Error) -> Failure {
        failure(&self.name, error)
    }

    /// Makes the failure of what the other side says.
    pub(crate) fn said(&self, message: &str) -> Failure {
        KubernetesError::Talk { name: self.name.clone(), what: printable(message) }.into()
    }
}

/// Makes the failure of a connection to a bottle.
pub(crate) fn failure(name: &str, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::NotFound => KubernetesError::Gone { name: name.to_owned() }.into(),
        _ => KubernetesError::Talk { name: name.to_owned(), what: printable(&error.to_string()) }.into(),
    }
}

/// Knocks at a bottle that was there. One whose Pod has ended is gone, though the cluster still has it.
async fn again(cluster: &Cluster, name: &str) -> io::Result<Wire> {
    let error = match knock(cluster, name).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => error,
        known => return known,
    };
    let found = cluster.look(name).await;
    match found {
        Ok(Some(pod)) if reason::has_ended(&pod, GUARD) => Err(io::ErrorKind::NotFound.into()),
        Ok(None) => Err(io::ErrorKind::NotFound.into()),
        _ => Err(error),
    }
}

/// Starts the command in the guard's container, and returns its streams.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] when there is no such Pod; anything else may be mended by another try.
pub(crate) async fn knock(cluster: &Cluster, name: &str) -> io::Result<Wire> {
    let parameters = AttachParams::default()
        .container(GUARD)
        .stdin(true)
        .stdout(true)
        .stderr(false)
        .max_stdin_buf_size(BUFFER)
        .max_stdout_buf_size(BUFFER);
    let pods: kube::Api<Pod> = cluster.pods();
    // A door that does not open yet is not an error, though the client says so.
    let quiet = NoSubscriber::default();
    let begun = pods.exec(name, KNOCK, &parameters).with_subscriber(quiet);
    let begun = tokio::time::timeout(PATIENCE, begun).await;
    let process =
        begun.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?.map_err(|error| refusal(&error))?;
    let (ours, theirs) = UnixStream::pair()?;
    theirs.set_nonblocking(true)?;
    tokio::spawn(carry(process, tokio::net::UnixStream::from_std(theirs)?));
    let (reader, closer) = (ours.try_clone()?, ours.try_clone()?);
    let close = move || drop(closer.shutdown(Shutdown::Both));
    Ok(Wire { reader: Box::new(reader), writer: Box::new(ours), close: Box::new(close) })
}

/// Says what it means that an exec was refused.
fn refusal(error: &kube::Error) -> io::Error {
    let is_gone = match error {
        kube::Error::Api(status) => status.code == 404,
        kube::Error::UpgradeConnection(UpgradeConnectionError::ProtocolSwitch(code)) => code.as_u16() == 404,
        _ => false,
    };
    let kind = if is_gone { io::ErrorKind::NotFound } else { io::ErrorKind::NotConnected };
    io::Error::new(kind, error.to_string())
}

/// Carries bytes both ways until either side has ended.
async fn carry(mut process: AttachedProcess, stream: tokio::net::UnixStream) {
    let (Some(mut stdin), Some(mut stdout)) = (process.stdin(), process.stdout()) else { return };
    let (mut reader, mut writer) = stream.into_split();
    let mut down = std::pin::pin!(async move {
        tokio::io::copy(&mut stdout, &mut writer).await.ok();
    });
    let up = async move {
        tokio::io::copy(&mut reader, &mut stdin).await.ok();
        stdin.shutdown().await.ok();
    };
    tokio::select! {
        () = &mut down => {}
        () = up => drop(tokio::time::timeout(LAST_WORDS, down).await),
    }
}
