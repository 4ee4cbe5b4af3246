//! The command `standin`: runs a stand-in until it is killed, and prints its address when it is ready.

use std::error::Error;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use claude_bottle_standin::{Config, Script, Standin, StandinError, Tls, ToolCall};

/// A small stand-in for the Messages API, which records what it is sent
#[derive(Debug, Parser)]
struct Args {
    /// Listen here; port 0 lets the kernel choose
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Write one JSON line a request to this file, credentials included
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Answer every message with this text
    #[arg(long, value_name = "TEXT", default_value_t = Script::default().reply)]
    reply: String,
    /// Let the agent run this command with its Bash tool before the answer
    #[arg(long, value_name = "COMMAND")]
    run: Option<String>,
    /// Serve HTTPS, and write the certificate authority to this file
    #[arg(long, value_name = "CA_FILE")]
    tls: Option<PathBuf>,
    /// Make the certificate for this host name or address (may be repeated)
    #[arg(long, value_name = "NAME", requires = "tls", default_values = ["localhost", "127.0.0.1"])]
    name: Vec<String>,
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
            // Nothing is left to tell when stderr is closed too.
            writeln!(std::io::stderr(), "error: {error}{cause}").ok();
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<(), StandinError> {
    let tls = args.tls.map(|ca_file| Tls { names: args.name, ca_file });
    let script = Script { reply: args.reply, run: args.run.as_deref().map(ToolCall::bash) };
    let standin = Standin::start(Config {
        listen: args.listen,
        record: args.record,
        script,
        tls,
        ..Config::default()
    })?;
    let written = writeln!(std::io::stdout(), "{}", standin.address());
    written.map_err(|source| StandinError::WriteFile { path: "stdout".into(), source })?;
    standin.serve_forever();
    Ok(())
}
