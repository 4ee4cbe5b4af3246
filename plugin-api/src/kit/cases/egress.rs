//! The way out: what is allowed answers, all else does not, and the log says both.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::kit::bench::{Bench, Check, Session, Stop, ensure};
use crate::kit::program::{self, script};
use crate::kit::upstream::{ANSWER, HOST, Upstream, addresses};
use crate::{Bottle, ExecRole, Spec};

/// A name that no policy of the kit allows.
const REFUSED: &str = "refused.kit.test";

/// What every line of the log has: <https://github.com/claude-bottle/claude-bottle/blob/main/docs/egress.md>.
const KEYS: [&str; 14] = [
    "time",
    "event",
    "connection",
    "bottle",
    "client",
    "method",
    "host",
    "port",
    "verdict",
    "code",
    "reason",
    "bytes_up",
    "bytes_down",
    "duration_ms",
];

/// How long a decision may take to the log.
const PATIENCE: Duration = Duration::from_secs(15);

/// Asks for addresses one after the other, with the proxy that the bottle's variables name, or around it.
const ASK: &str = "way=$1; shift; for url; do
    if command -v curl >/dev/null; then
        if [ $way = direct ]; then curl -sS -m 20 --noproxy '*' \"$url\"; else curl -sS -m 20 \"$url\"; fi
    elif command -v wget >/dev/null; then
        if [ $way = direct ]; then wget -T 20 -Y off -qO- \"$url\"; else wget -T 20 -qO- \"$url\"; fi
    else exit 42; fi; done; true";

pub(super) fn ask(session: &Session<'_>, bottle: &Bottle, way: &str, urls: &[String]) -> Check<String> {
    let words: Vec<_> = [way].into_iter().chain(urls.iter().map(String::as_str)).collect();
    let ended = program::run(&session.opened, bottle, ExecRole::Command, &script(ASK, &words), b"")?;
    match ended.code {
        42 => Err(Stop::Skip("there is no `curl` or `wget` in the bottle".to_owned())),
        _ => Ok(ended.stdout_text() + &ended.stderr_text()),
    }
}

/// Makes a bottle that may reach the kit's server.
pub(super) fn bottle<'b>(bench: &'b Bench, upstream: &Upstream) -> Check<(Session<'b>, Bottle, Spec)> {
    let session = bench.session()?;
    let mut spec = bench.spec()?;
    upstream.allow(&mut spec)?;
    let bottle = session.bottle_of(&spec)?;
    Ok((session, bottle, spec))
}

pub(super) fn allowed(bench: &Bench) -> Check {
    let upstream = Upstream::start()?;
    let (session, bottle, _) = bottle(bench, &upstream)?;
    let said = ask(&session, &bottle, "proxy", &[format!("http://{HOST}:{}/", upstream.port)])?;
    ensure!(said.contains(ANSWER), "a host that is allowed gives {said:?}");
    Ok(())
}

pub(super) fn refused(bench: &Bench) -> Check {
    let upstream = Upstream::start()?;
    let (session, bottle, _) = bottle(bench, &upstream)?;
    let mut hosts: Vec<_> = addresses().iter().map(ToString::to_string).collect();
    hosts.push(REFUSED.to_owned());
    let urls: Vec<_> = hosts.iter().map(|host| format!("http://{host}:{}/", upstream.port)).collect();
    for way in ["proxy", "direct"] {
        let said = ask(&session, &bottle, way, &urls)?;
        ensure!(!said.contains(ANSWER), "what is not allowed was reached ({way}): {said:?}");
        ensure!(upstream.asked() == 0, "what is not allowed was connected to ({way})");
    }
    Ok(())
}

pub(super) fn log(bench: &Bench) -> Check {
    let upstream = Upstream::start()?;
    let (session, bottle, spec) = bottle(bench, &upstream)?;
    let urls = [HOST, REFUSED].map(|host| format!("http://{host}:{}/", upstream.port));
    ask(&session, &bottle, "proxy", &urls)?;
    let file = spec.state_dir.join("egress.jsonl");
    let began = Instant::now();
    // While the bottle lives: a log that comes with its end is too late for who watches it.
    loop {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let has = |host: &str, verdict: &str| {
            lines.iter().any(|line| line["host"] == host && line["verdict"] == verdict)
        };
        if has(HOST, "allow") && has(REFUSED, "deny") {
            let lacking = KEYS.iter().find(|key| lines.iter().any(|line| line.get(**key).is_none()));
            ensure!(lacking.is_none(), "a line of the log has no `{}`", lacking.unwrap_or(&""));
            return Ok(());
        }
        ensure!(began.elapsed() < PATIENCE, "`{}` does not have both decisions: {text:?}", file.display());
        // There is no event for a line of a file of somebody else's.
        std::thread::sleep(Duration::from_millis(50));
    }
}
