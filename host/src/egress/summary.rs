//! What the proxy refused in a run, told when the run has ended: how much, which hosts, and how to allow them.
//!
//! Read from the decision log alone. A line that is no decision is passed over.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use claude_bottle_egress_policy::{Code, HostOrIp, LogEvent, Tally, Verdict, rotation};

use super::decision::{self, Decision};
use super::rejected::{self, Rejected};
use crate::profile::Profiles;

/// The decision log of a run, in its directory.
pub const LOG_FILE: &str = "egress.jsonl";
/// How many hosts are named.
const HOSTS_NAMED: usize = 5;
/// How many are told apart; an agent can ask for any number.
const MOST_HOSTS: usize = 10_000;
/// The longest line that is read; the guard cuts host and reason far below it.
const MOST_BYTES: u64 = 64 * 1024;

/// What was refused in one run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Requests that went through.
    pub allowed: u64,
    /// Requests that did not.
    pub blocked: u64,
    /// Requests that were allowed and did not reach their host.
    pub failed: u64,
    /// Requests that the agent's program made by itself and that were refused; they are not in `blocked`.
    pub own: u64,
    /// How much of this is in no file any more.
    pub dropped: Tally,
    /// Where refused requests were for, the most frequent first.
    pub targets: Vec<Target>,
    /// Where failed requests were for, the most frequent first.
    pub failures: Vec<Target>,
    /// Where tunnels led that their clients left when they saw the bottle's certificate, the most frequent first.
    pub distrusted: Vec<Target>,
    /// Credentials that a host does not take.
    pub rejected: Vec<Rejected>,
}

/// A place that was asked for, and not reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// How often.
    pub count: usize,
    /// The host as the proxy understood it, else what was sent.
    pub host: String,
    /// The port; 0 when the request was not readable.
    pub port: u16,
    /// Whether it was a tunnel.
    pub tunnel: bool,
    /// The proxy's reason.
    pub code: String,
    /// Whether a rule for it may name the port.
    pub knows_ports: bool,
}

impl Target {
    /// Returns host and port, as far as they are known.
    pub fn place(&self) -> String {
        place(&self.host, self.port)
    }

    /// Returns what to write into the allowlist, when that would help.
    pub fn rule(&self) -> Option<String> {
        let code = Code::from_text(&self.code)?;
        let helps = matches!(code, Code::NotInAllowlist | Code::PortNotAllowed | Code::IpLiteral);
        // A host that cannot be spelled cannot be allowed either.
        let host = HostOrIp::parse(&self.host).ok().filter(|_| helps)?;
        let usual = if self.tunnel { 443 } else { 80 };
        // A name was asked for without a port, and was refused for itself.
        Some(if self.port == 0 || self.port == usual || !self.knows_ports {
            host.to_string()
        } else {
            format!("{host}:{}", self.port)
        })
    }
}

/// Returns `true` if a line of this method is about a tunnel: one that was asked for, or a host that the agent asks to be allowed.
pub fn is_tunnel(method: &str) -> bool {
    matches!(method, "CONNECT" | "ASK")
}

/// Returns host and port as one text; a request that was not readable has no port.
pub fn place(host: &str, port: u16) -> String {
    match (host.is_empty(), port) {
        (true, _) => "-".to_owned(),
        (false, 0) => host.to_owned(),
        (false, port) => format!("{host}:{port}"),
    }
}

/// Returns the newest file of a run's decision log. A backend may keep the log in a directory of its own, to which it makes a
/// link; the files that belong to it are there too.
pub fn log(run_dir: &Path) -> PathBuf {
    let link = run_dir.join(LOG_FILE);
    std::fs::read_link(&link).map_or(link, |target| run_dir.join(target))
}

/// Returns the files of a run's decision log, older first: a full one is renamed once.
pub fn files(run_dir: &Path) -> [PathBuf; 2] {
    let log = log(run_dir);
    [rotation::older(&log), log]
}

/// Returns how much a run's decision log no longer has.
pub fn dropped(run_dir: &Path) -> io::Result<Tally> {
    rotation::dropped(&log(run_dir))
}

/// Sums up the decision log in a run's directory; a run without one made no request.
pub fn read(run_dir: &Path) -> io::Result<Summary> {
    let mut counter = Counter::default();
    for path in files(run_dir) {
        match File::open(path) {
            Ok(file) => counter.take(BufReader::new(file))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let dropped = dropped(run_dir)?;
    let kept = counter.finish();
    Ok(Summary {
        allowed: kept.allowed + dropped.allowed,
        blocked: kept.blocked + dropped.blocked,
        failed: kept.failed + dropped.failed,
        dropped,
        ..kept
    })
}

#[derive(Default)]
struct Counter {
    tally: Tally,
    own: u64,
    targets: HashMap<Target, usize>,
    failures: HashMap<Target, usize>,
    distrusted: HashMap<Target, usize>,
    /// Where clients left and said nothing.
    left: HashMap<Target, usize>,
    /// Where a request came through, with its port.
    served: HashSet<(String, u16)>,
    rejected: rejected::Counter,
}

impl Counter {
    fn take(&mut self, mut lines: impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        loop {
            line.clear();
            if lines.by_ref().take(MOST_BYTES).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            if let Some(decision) = decision::read(&line, "") {
                self.count(decision);
            }
        }
    }

    fn count(&mut self, Decision { record, knows_ports }: Decision) {
        if matches!(record.event, LogEvent::Ask | LogEvent::Answer | LogEvent::Policy) {
            return;
        }
        if record.verdict == Verdict::Deny && Profiles::is_chatter(&record.host) {
            self.own += 1;
            return;
        }
        self.tally.count(&record);
        self.rejected.take(&record);
        if (record.event, record.verdict) == (LogEvent::Request, Verdict::Allow)
            && !is_tunnel(&record.method)
            && self.served.len() < MOST_HOSTS
        {
            self.served.insert((record.host.clone(), record.port));
        }
        let targets = match (record.event, record.verdict) {
            (_, Verdict::Deny) => &mut self.targets,
            (LogEvent::Request, Verdict::Error) => &mut self.failures,
            _ => match Code::from_text(&record.code) {
                Some(Code::ClientDistrusts) => &mut self.distrusted,
                Some(Code::ClientLeft) => &mut self.left,
                _ => return,
            },
        };
        let tunnel = is_tunnel(&record.method);
        let (host, port, code) = (record.host, record.port, record.code);
        let target = Target { count: 0, host, port, tunnel, code, knows_ports };
        if targets.len() < MOST_HOSTS || targets.contains_key(&target) {
            *targets.entry(target).or_default() += 1;
        }
    }

    fn finish(mut self) -> Summary {
        // Where others are served, who left needed no more.
        self.left.retain(|target, _| !self.served.contains(&(target.host.clone(), target.port)));
        self.distrusted.extend(self.left);
        let Tally { allowed, blocked, failed, .. } = self.tally;
        let (targets, failures) = (by_frequency(self.targets), by_frequency(self.failures));
        let (own, distrusted) = (self.own, by_frequency(self.distrusted));
        let (rejected, dropped) = (self.rejected.finish(), Tally::default());
        Summary { allowed, blocked, failed, own, dropped, targets, failures, distrusted, rejected }
    }
}

fn by_frequency(counted: HashMap<Target, usize>) -> Vec<Target> {
    let counted = counted.into_iter().map(|(target, count)| Target { count, ..target });
    let mut targets: Vec<_> = counted.collect();
    targets.sort_by(|a, b| (b.count, &a.host, a.port, &a.code).cmp(&(a.count, &b.host, b.port, &b.code)));
    targets
}

/// Formats a headline and the most frequent targets, a line each; nothing without targets.
fn table(headline: String, targets: &[Target]) -> Option<String> {
    let mut lines = vec![headline];
    let named = &targets[..targets.len().min(HOSTS_NAMED)];
    let width = named.iter().map(|target| target.place().chars().count()).max()?;
    lines.extend(
        named
            .iter()
            .map(|target| format!("{:>5}  {:<width$}  {}", target.count, target.place(), target.code)),
    );
    match targets.len() - named.len() {
        0 => {}
        more => lines.push(format!("       and {more} more")),
    }
    Some(lines.join("\n"))
}

impl Summary {
    /// Returns `true` if the numbers are exact; otherwise there were at least so many.
    pub fn is_exact(&self) -> bool {
        self.dropped.unknown == 0
    }

    /// Formats a number of requests.
    pub fn number(&self, count: u64) -> String {
        if self.is_exact() { count.to_string() } else { format!("at least {count}") }
    }

    /// Formats what was refused, a line each; nothing when nothing was. The text is not cleaned.
    pub fn text(&self) -> Option<String> {
        let noun = if self.blocked == 1 { "request" } else { "requests" };
        let mut headline = format!("{} {noun} blocked", self.number(self.blocked));
        if self.dropped.blocked > 0 {
            headline
                .push_str(&format!(", of which the log still has {}", self.blocked - self.dropped.blocked));
        }
        table(headline, &self.targets)
    }

    /// Formats what was allowed and failed, a line each; nothing when nothing did. The text is not cleaned.
    pub fn failed_text(&self) -> Option<String> {
        let noun = if self.failed == 1 { "request" } else { "requests" };
        table(format!("{} allowed {noun} failed", self.number(self.failed)), &self.failures)
    }

    /// Formats where clients left when they saw the bottle's certificate, a line each; nothing where none did. The text is not cleaned.
    pub fn distrusted_text(&self) -> Option<String> {
        let count: usize = self.distrusted.iter().map(|target| target.count).sum();
        let noun = if count == 1 { "client" } else { "clients" };
        table(format!("{count} {noun} left at the sight of the bottle's certificate"), &self.distrusted)
    }

    /// Returns the hosts that would have to be passed through for them, each once.
    pub fn distrusted_hosts(&self) -> Vec<&str> {
        let named = &self.distrusted[..self.distrusted.len().min(HOSTS_NAMED)];
        let mut hosts: Vec<_> = named.iter().map(|target| target.host.as_str()).collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }

    /// Says what the log no longer has, if it lacks anything.
    pub fn dropped_text(&self) -> Option<String> {
        let Tally { allowed, blocked, failed, lines, .. } = self.dropped;
        (lines > 0).then(|| {
            format!(
                "{lines} older lines are no longer in the log: {allowed} requests allowed, {blocked} blocked, {failed} failed"
            )
        })
    }

    /// Returns the rules that would have let the named hosts through, each once.
    pub fn rules(&self) -> Vec<String> {
        rules(&self.targets[..self.targets.len().min(HOSTS_NAMED)])
            .into_iter()
            .map(|(rule, _)| rule)
            .collect()
    }
}

/// Returns the rules that would have let targets through, each once and with the number of its requests: the one that most needed first.
pub fn rules(targets: &[Target]) -> Vec<(String, usize)> {
    let mut counted: HashMap<String, usize> = HashMap::new();
    for target in targets {
        if let Some(rule) = target.rule() {
            *counted.entry(rule).or_default() += target.count;
        }
    }
    let mut rules: Vec<_> = counted.into_iter().collect();
    rules.sort_by(|(a, a_count), (b, b_count)| (b_count, a).cmp(&(a_count, b)));
    rules
}

#[cfg(test)]
#[path = "summary_tests.rs"]
mod tests;
