//! A program that runs: its streams joined to the caller's, its terminal's size, its signals.

use std::time::Duration;

use claude_bottle_plugin_api::{Call, ExecIo, Result};
use rustix::fd::OwnedFd;
use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::output::{Stream, Writer};
use super::start;
use super::stops::{Piece, Stops};
use crate::engine::{Attached, Engine, EngineError, ExecSpec, Frames, Output, Run, run};
use crate::error::DockerError;
use claude_bottle_engine::Reader;

/// How long a program has to end after it was asked to.
const GRACE: Duration = Duration::from_secs(2);
/// How long the engine may take to continue a program. It never answers when a program reported a stop and did not stop.
const RESUMING: Duration = Duration::from_secs(20);
/// How often it is asked whether a bottle in gVisor still runs.
const LOOK: Duration = Duration::from_millis(500);

/// A running program, and what is needed to control it.
pub(super) struct Session<'a, E> {
    pub(super) engine: &'a E,
    pub(super) container: &'a str,
    pub(super) token: &'a str,
    /// The engine's name for the execution.
    pub(super) exec: &'a str,
    pub(super) tty: bool,
    pub(super) in_gvisor: bool,
}

impl<E: Engine> Session<'_, E> {
    /// Copies bytes until the program's streams end or the call does.
    pub(super) async fn run(&self, call: &Call, attached: Attached, io: ExecIo) -> Result<()> {
        let size = io.terminal_size();
        let terminal = io.stdout.try_clone().ok();
        let writer = Writer::start(io.stdout, io.stderr)?;
        let stdin = Reader::start(io.stdin)?;
        let Attached { mut output, input, .. } = attached;
        let copy = async {
            let copied = match self.tty {
                true => self.copy_terminal(call, &mut output, &writer).await,
                false => self.copy_out(call, &mut output, &writer).await,
            };
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
            failure = claude_bottle_engine::cancelled(call) => {
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

    /// Shows a terminal's output; a program that stops suspends the host, and is continued with it.
    async fn copy_terminal(
        &self,
        call: &Call,
        output: &mut (impl AsyncRead + Unpin),
        writer: &Writer,
    ) -> Result<()> {
        let mut stops = Stops::new(self.token);
        let mut buffer = vec![0; 32 * 1024];
        loop {
            let read = output.read(&mut buffer).await;
            let n = read.map_err(|error| DockerError::ReadOutput { source: EngineError::io(error) })?;
            if !self.show(call, writer, Stream::Stdout, stops.pieces(&buffer[..n])).await {
                return self.nobody_reads(output).await;
            }
            if n == 0 {
                return Ok(());
            }
        }
    }

    /// Shows pieces of a stream with reports of stops; returns `true` if the output is still read.
    async fn show(&self, call: &Call, writer: &Writer, stream: Stream, pieces: Vec<Piece>) -> bool {
        for piece in pieces {
            match piece {
                Piece::Stop => self.suspend(call, writer).await,
                Piece::Shown(bytes) => {
                    if !writer.write(stream, bytes).await {
                        return false;
                    }
                }
            }
        }
        true
    }

    /// Suspends the host when all is shown, and continues the program with it.
    async fn suspend(&self, call: &Call, writer: &Writer) {
        writer.flush().await;
        let call = call.clone();
        // Whether it was suspended or not, the program goes on now.
        drop(tokio::task::spawn_blocking(move || call.suspend()).await);
        drop(tokio::time::timeout(RESUMING, self.signal(Signal::CONT)).await);
    }

    /// Passes both streams on. Stops are reported on standard error, so that standard output has only what the program wrote.
    async fn copy_out(
        &self,
        call: &Call,
        output: &mut (impl AsyncRead + Unpin),
        writer: &Writer,
    ) -> Result<()> {
        let (mut frames, mut stops) = (Frames::default(), Stops::new(self.token));
        loop {
            let piece = frames.piece(output).await;
            let piece = piece.map_err(|error| DockerError::ReadOutput { source: EngineError::io(error) })?;
            let is_end = piece.is_none();
            let is_read = match piece {
                None => self.show(call, writer, Stream::Stderr, stops.pieces(&[])).await,
                Some((2, bytes)) => self.show(call, writer, Stream::Stderr, stops.pieces(&bytes)).await,
                Some((_, bytes)) => writer.write(Stream::Stdout, bytes).await,
            };
            if !is_read {
                return self.nobody_reads(output).await;
            }
            if is_end {
                return Ok(());
            }
        }
    }

    /// Sends SIGPIPE to a program whose output is not read any more. Its earlier output is drained meanwhile: until then the engine
    /// reports the end of no program in the container, not even of the one that sends the signal.
    async fn nobody_reads(&self, output: &mut (impl AsyncRead + Unpin)) -> Result<()> {
        let mut nowhere = tokio::io::sink();
        let rest = tokio::io::copy(output, &mut nowhere);
        let ((), rest) = tokio::join!(self.signal(Signal::PIPE), rest);
        Ok(rest.map(drop).map_err(|error| DockerError::ReadOutput { source: EngineError::io(error) })?)
    }

    async fn copy_in(&self, mut stdin: Reader, mut input: impl AsyncWrite + Unpin) {
        while let Some(bytes) = stdin.read().await {
            // A program that has closed its input is not a failure; its end is awaited elsewhere.
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
            // The engine refuses until the program has started, and has no event for that.
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

    /// Ends a program whose streams are not used.
    pub(super) async fn abandon(&self, attached: Attached) {
        let (mut output, mut nowhere) = (attached.output, tokio::io::sink());
        let rest = async {
            // A stream that cannot be read any more has ended.
            drop(tokio::io::copy(&mut output, &mut nowhere).await);
            Ok(())
        };
        self.end(&mut std::pin::pin!(rest)).await;
    }

    /// Ends the program: with SIGTERM, and after a grace with SIGKILL.
    async fn end(&self, streams_end: &mut (impl Future<Output = Result<()>> + Unpin)) {
        for signal in [Signal::TERM, Signal::KILL] {
            // What the program writes is read meanwhile, see `copy_out`.
            let ask = async {
                // When the caller does not read, the engine may never answer that the signal was sent.
                drop(tokio::time::timeout(GRACE, self.signal(signal)).await);
                tokio::time::sleep(GRACE).await;
            };
            tokio::select! {
                _ = &mut *streams_end => return,
                () = ask => {}
            }
        }
    }

    /// Sends a signal; a program that is gone already needs none.
    async fn signal(&self, signal: Signal) {
        let spec = ExecSpec { command: start::signal(self.token, signal), ..ExecSpec::default() };
        match run(self.engine, self.container, &Run { spec, ..Run::default() }).await {
            Ok(Output { code: 0, .. }) => {}
            Ok(output) => tracing::debug!(code = output.code, "the program was gone"),
            Err(error) => tracing::warn!(%error, "cannot reach the program in the bottle"),
        }
    }
}
