//! Running a program in a bottle on the caller's streams, with a terminal or without.

mod limit;
mod output;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use claude_bottle_backend_shared::{agent_command, key};
use claude_bottle_plugin_api::{Bottle, Call, ExecIo, ExecRequest, ExitStatus, Failure, FailureKind, Result};
use rustix::fd::OwnedFd;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::config::Config;
use crate::engine::{Attached, Engine, EngineError, ExecSpec, Kind, Output, Run, exit_code, frame, run};
use crate::error::DockerError;
use crate::link::LOOPBACK;
use crate::plan::{BottleState, RUN_DIR, USER, role};
use crate::waiting::Reader;
use output::{Stream, Writer};

/// Notes its process number, sets the terminal's size, reads the secret variables, and becomes the program. `$0` tells this
/// execution from others, `$1` and `$2` are columns and rows. Engines before API 1.42 take no size when an exec is made, and
/// the resize that follows its start may come after the program has looked.
const WRAPPER: &str = r#"cd . 2>/dev/null; echo $$ >"/run/claude-bottle/exec.$0"; [ "$1" = 0 ] || stty cols "$1" rows "$2" 2>/dev/null; shift 2; [ ! -r /run/claude-bottle/env ] || . /run/claude-bottle/env; exec "$@""#;
/// Signals the program and all it has started, which is in its process group.
const KILL: &str = r#"p=$(cat "$1") && { kill -s "$2" -- "-$p" || kill -s "$2" "$p"; }"#;
/// How long a program has to end after it was asked to.
const GRACE: Duration = Duration::from_secs(2);
/// How often it is asked whether a bottle in gVisor still runs.
const LOOK: Duration = Duration::from_millis(500);

/// Runs a program and waits for its end.
pub(crate) async fn exec(
    engine: &impl Engine,
    config: &Config,
    call: &Call,
    bottle: &Bottle,
    request: &ExecRequest,
) -> Result<ExitStatus> {
    let state: BottleState = bottle.state()?;
    let command = agent_command(request);
    let Some(program) = command.first().cloned() else {
        return Err(Failure::new(FailureKind::Invalid, "the command is empty"));
    };
    let io = request.io()?;
    let token = token();
    let spec = ExecSpec {
        command: wrapped(&token, io.terminal_size().filter(|_| request.tty), command),
        user: USER.to_owned(),
        env: environment(&proxy(engine, &state).await?, request),
        working_dir: None,
        tty: request.tty,
        stdin: true,
    };
    let begun = SystemTime::now();
    let failed = |source: EngineError| match source {
        // Somebody has closed the bottle: its container, and with it the program, is gone or about to go.
        EngineError::NotFound { .. } | EngineError::Conflict { .. } => {
            DockerError::Closed { program: program.clone() }
        }
        source => DockerError::RunInside { program: program.clone(), source },
    };
    let id = engine.create_exec(&state.agent, &spec).await.map_err(failed)?;
    config.fault.after(call, "create-exec").await?;
    let attached = engine.start_exec(&id, request.tty).await.map_err(failed)?;
    let in_gvisor = limit::in_gvisor(&state);
    let session =
        Session { engine, container: &state.agent, token: &token, exec: &id, tty: request.tty, in_gvisor };
    if let Err(failure) = config.fault.strike(call, "start-exec").await {
        session.abandon(attached).await;
        return Err(failure);
    }
    session.run(call, attached, io).await?;
    config.fault.strike(call, "exec-done").await?;
    let code = match exit_code(engine, &id).await {
        // With the container the engine forgets what was run in it.
        Err(error) if in_gvisor && error.is_not_found() => limit::CONTAINER_ENDED,
        Err(error) if error.is_not_found() => return Err(lost(engine, &state.agent, program).await.into()),
        code => code.map_err(failed)?,
    };
    let mut status = ExitStatus::code(code);
    status.limit = limit::reached(engine, &state, code, begun).await;
    let was_ended = matches!(code, limit::KILLED | limit::CONTAINER_ENDED) && status.limit.is_none();
    if was_ended && has_ended(engine, &state.agent).await {
        return Err(DockerError::Closed { program }.into());
    }
    Ok(status)
}

/// Says why the engine knows nothing of a program that ran.
async fn lost(engine: &impl Engine, container: &str, program: String) -> DockerError {
    match engine.inspect_container(container).await {
        // An engine that was restarted remembers its containers, and not what ran in them beside their own process.
        Ok(_) => DockerError::LostProgram { program },
        Err(error) if error.is_not_found() => DockerError::Closed { program },
        Err(source) => DockerError::RunInside { program, source },
    }
}

/// Says whether the bottle's own container has ended, which ends every program in it.
async fn has_ended(engine: &impl Engine, container: &str) -> bool {
    // The engine may note the end of the program a moment before that of the container.
    for attempt in 0..5_u64 {
        match engine.inspect_container(container).await {
            Ok(found) if found.running => tokio::time::sleep(Duration::from_millis(10 * attempt)).await,
            Ok(_) => return true,
            Err(error) => return error.is_not_found(),
        }
    }
    false
}

fn wrapped(token: &str, size: Option<(u16, u16)>, command: Vec<String>) -> Vec<String> {
    let (columns, rows) = size.unwrap_or_default();
    let words = ["sh", "-c", WRAPPER, token, &columns.to_string(), &rows.to_string()].map(str::to_owned);
    words.into_iter().chain(command).collect()
}

/// Returns a word that no other execution in this bottle has, from whatever process.
fn token() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_nanos());
    format!("{}-{nanos}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Returns the proxy's URL, asking the engine when the record does not say it.
async fn proxy(engine: &impl Engine, state: &BottleState) -> Result<String> {
    if let Some(proxy) = &state.proxy {
        return Ok(proxy.clone());
    }
    let failed = |source| DockerError::ListLeftovers { name: state.names.agent.clone(), source };
    let first = async |kind, role| {
        let found = engine.list(kind, &state.part(role)).await.map_err(failed)?;
        Ok::<_, DockerError>(found.into_iter().next())
    };
    let sidecar = first(Kind::Container, role::SIDECAR).await?;
    let Some((sidecar, port)) =
        sidecar.and_then(|found| Some((found.id, found.labels.get(key::PORT)?.clone())))
    else {
        let message = format!("bottle `{}` has no sidecar", state.names.agent);
        return Err(Failure::new(FailureKind::NotFound, message));
    };
    // Without a network between them the agent has its end of the link on its own loopback.
    let Some(internal) = first(Kind::Network, role::INTERNAL).await? else {
        return Ok(format!("http://{LOOPBACK}:{port}"));
    };
    let found = engine.inspect_container(&sidecar).await.map_err(failed)?;
    match found.addresses.get(&internal.id) {
        Some(address) => Ok(format!("http://{address}:{port}")),
        None => Err(Failure::new(
            FailureKind::NotFound,
            format!("the sidecar of bottle `{}` does not run", state.names.agent),
        )),
    }
}

/// Returns the variables that lead every program to the proxy, which has no name and needs none.
fn environment(proxy: &str, request: &ExecRequest) -> Vec<String> {
    const LOOPBACK: &str = "localhost,127.0.0.1,::1";
    let mut env = Vec::new();
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
        env.push(format!("{name}={proxy}"));
    }
    env.extend(["NO_PROXY", "no_proxy"].map(|name| format!("{name}={LOOPBACK}")));
    // Node's own fetch looks at the variables above only with this: https://nodejs.org/api/cli.html#node_use_env_proxy1
    env.push("NODE_USE_ENV_PROXY=1".to_owned());
    if request.tty {
        env.push(format!("TERM={}", request.term.as_deref().unwrap_or("xterm-256color")));
    }
    env
}

/// A program that runs, and what it takes to steer it.
struct Session<'a, E> {
    engine: &'a E,
    container: &'a str,
    token: &'a str,
    exec: &'a str,
    tty: bool,
    in_gvisor: bool,
}

impl<E: Engine> Session<'_, E> {
    /// Copies bytes until the program's streams end or the call does.
    async fn run(&self, call: &Call, attached: Attached, io: ExecIo) -> Result<()> {
        let size = io.terminal_size();
        let terminal = rustix::io::dup(&io.stdout).ok();
        let writer = Writer::start(io.stdout, io.stderr)?;
        let stdin = Reader::start(io.stdin)?;
        let Attached { mut output, input, .. } = attached;
        let copy = async {
            let copied = self.copy_out(&mut output, &writer).await;
            writer.finish().await;
            copied
        };
        let feed = async {
            self.copy_in(stdin, input).await;
            std::future::pending::<()>().await;
        };
        let resize = self.follow_size(size, terminal, io.resized);
        let mut copy = std::pin::pin!(copy);
        tokio::select! {
            copied = &mut copy => copied,
            () = feed => Ok(()),
            () = resize => Ok(()),
            () = self.gvisor_ends(), if self.in_gvisor => {
                // What was written before may still be on its way.
                drop(tokio::time::timeout(GRACE, &mut copy).await);
                Ok(())
            }
            failure = crate::cancel::cancelled(call) => {
                self.end(&mut copy).await;
                Err(failure)
            }
        }
    }

    /// Waits until the container has ended. When gVisor meets a limit it ends as a whole, and the engine leaves the streams of
    /// what ran inside open.
    async fn gvisor_ends(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            match self.engine.inspect_container(self.container).await {
                Ok(found) if !found.running => return,
                Err(error) if error.is_not_found() => return,
                _ => {}
            }
        }
    }

    async fn copy_out(&self, output: &mut (impl AsyncRead + Unpin), writer: &Writer) -> Result<()> {
        let failed = |error| DockerError::ReadOutput { source: EngineError::io(error) };
        let mut buffer = vec![0; 32 * 1024];
        loop {
            let (stream, bytes) = if self.tty {
                match output.read(&mut buffer).await.map_err(failed)? {
                    0 => return Ok(()),
                    n => (Stream::Stdout, buffer[..n].to_vec()),
                }
            } else {
                match frame(output).await.map_err(failed)? {
                    None => return Ok(()),
                    Some((2, bytes)) => (Stream::Stderr, bytes),
                    Some((_, bytes)) => (Stream::Stdout, bytes),
                }
            };
            if !writer.write(stream, bytes).await {
                // Nobody reads any more, which the program learns as one in a pipeline does. What it has written already must be
                // read meanwhile: the engine tells of no program's end before that, also not of the one that signals.
                let mut nowhere = tokio::io::sink();
                let rest = tokio::io::copy(output, &mut nowhere);
                let ((), rest) = tokio::join!(self.signal("PIPE"), rest);
                return Ok(rest.map(drop).map_err(failed)?);
            }
        }
    }

    async fn copy_in(&self, mut stdin: Reader, mut input: impl AsyncWrite + Unpin) {
        while let Some(bytes) = stdin.read().await {
            // A program that reads no more is no failure; its end is awaited elsewhere.
            if input.write_all(&bytes).await.is_err() || input.flush().await.is_err() {
                return;
            }
        }
        drop(input.shutdown().await);
    }

    /// Gives the program's terminal the size of ours, now and each time it changes.
    async fn follow_size(
        &self,
        first: Option<(u16, u16)>,
        terminal: Option<OwnedFd>,
        resized: Option<OwnedFd>,
    ) {
        if self.tty
            && let Some((columns, rows)) = first
        {
            // The engine refuses until the program has started, of which it tells nobody.
            for attempt in 1..=20_u64 {
                if self.engine.resize_exec(self.exec, columns, rows).await.is_ok() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5 * attempt)).await;
            }
        }
        if let (true, Some(terminal), Some(resized)) = (self.tty, terminal, resized)
            && let Ok(mut resized) = Reader::start(resized)
        {
            while resized.read().await.is_some() {
                if let Ok(size) = rustix::termios::tcgetwinsize(&terminal) {
                    drop(self.engine.resize_exec(self.exec, size.ws_col, size.ws_row).await);
                }
            }
        }
        std::future::pending().await
    }

    /// Ends a program whose streams nobody has taken.
    async fn abandon(&self, attached: Attached) {
        let (mut output, mut nowhere) = (attached.output, tokio::io::sink());
        let rest = async {
            // A stream that cannot be read any more has ended.
            drop(tokio::io::copy(&mut output, &mut nowhere).await);
            Ok(())
        };
        self.end(&mut std::pin::pin!(rest)).await;
    }

    /// Ends the program: asks first, then does not ask.
    async fn end(&self, streams_end: &mut (impl Future<Output = Result<()>> + Unpin)) {
        for signal in ["TERM", "KILL"] {
            // What the program writes is read meanwhile, see `copy_out`.
            let ask = async {
                // The caller may read no more, and then the engine may not say that the signal was sent.
                drop(tokio::time::timeout(GRACE, self.signal(signal)).await);
                tokio::time::sleep(GRACE).await;
            };
            tokio::select! {
                _ = &mut *streams_end => return,
                () = ask => {}
            }
        }
    }

    /// Sends a signal; a program that is gone already is none to complain about.
    async fn signal(&self, signal: &str) {
        let words = ["sh", "-c", KILL, "sh", &format!("{RUN_DIR}/exec.{}", self.token), signal];
        let spec = ExecSpec {
            command: words.map(str::to_owned).into(),
            user: USER.to_owned(),
            ..ExecSpec::default()
        };
        match run(self.engine, self.container, &Run { spec, ..Run::default() }).await {
            Ok(Output { code: 0, .. }) => {}
            Ok(output) => tracing::debug!(signal, code = output.code, "the program was gone"),
            Err(error) => tracing::warn!(signal, %error, "cannot signal the program in the bottle"),
        }
    }
}
