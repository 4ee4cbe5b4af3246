//! What the proxy refused in a run, told when the run has ended: how much, which hosts, and how to allow them.
//!
//! Read from the decision log alone. A line that is no decision is passed over.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use claude_bottle_egress_policy::{Code, HostOrIp, LogEvent, Verdict};

use super::decision::{self, Decision};

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
    pub allowed: usize,
    /// Requests that did not.
    pub blocked: usize,
    /// Where those were for, the most frequent first.
    pub targets: Vec<Target>,
}

/// A place that was asked for in vain.
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
        let host = HostOrIp::parse(&self.host).ok().filter(|_| helps && self.port != 0)?;
        let usual = if self.tunnel { 443 } else { 80 };
        Some(if self.port == usual || !self.knows_ports {
            host.to_string()
        } else {
            format!("{host}:{}", self.port)
        })
    }
}

/// Returns host and port as one text; a request that was not readable has no port.
pub fn place(host: &str, port: u16) -> String {
    match (host.is_empty(), port) {
        (true, _) => "-".to_owned(),
        (false, 0) => host.to_owned(),
        (false, port) => format!("{host}:{port}"),
    }
}

/// Returns the files of a run's decision log, older first: a full one is renamed once.
pub fn files(run_dir: &Path) -> [PathBuf; 2] {
    [run_dir.join(format!("{LOG_FILE}.1")), run_dir.join(LOG_FILE)]
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
    Ok(counter.finish())
}

#[derive(Default)]
struct Counter {
    allowed: usize,
    blocked: usize,
    targets: HashMap<Target, usize>,
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
        match (record.event, record.verdict) {
            (_, Verdict::Deny) => self.blocked += 1,
            // A tunnel was counted when it was opened.
            (LogEvent::Request, Verdict::Allow | Verdict::Warn) => {
                self.allowed += 1;
                return;
            }
            _ => return,
        }
        let tunnel = record.method == "CONNECT";
        let (host, port, code) = (record.host, record.port, record.code);
        let target = Target { count: 0, host, port, tunnel, code, knows_ports };
        if self.targets.len() < MOST_HOSTS || self.targets.contains_key(&target) {
            *self.targets.entry(target).or_default() += 1;
        }
    }

    fn finish(self) -> Summary {
        let counted = self.targets.into_iter().map(|(target, count)| Target { count, ..target });
        let mut targets: Vec<_> = counted.collect();
        targets.sort_by(|a, b| (b.count, &a.host, a.port, &a.code).cmp(&(a.count, &b.host, b.port, &b.code)));
        Summary { allowed: self.allowed, blocked: self.blocked, targets }
    }
}

impl Summary {
    /// Formats what was refused, a line each; nothing when nothing was. The text is not cleaned.
    pub fn text(&self) -> Option<String> {
        let noun = if self.blocked == 1 { "request" } else { "requests" };
        let mut lines = vec![format!("{} {noun} blocked", self.blocked)];
        let named = &self.targets[..self.targets.len().min(HOSTS_NAMED)];
        let width = named.iter().map(|target| target.place().chars().count()).max()?;
        lines.extend(
            named
                .iter()
                .map(|target| format!("{:>5}  {:<width$}  {}", target.count, target.place(), target.code)),
        );
        match self.targets.len() - named.len() {
            0 => {}
            more => lines.push(format!("       and {more} more")),
        }
        Some(lines.join("\n"))
    }

    /// Returns the rules that would have let the named hosts through, each once.
    pub fn rules(&self) -> Vec<String> {
        let mut rules: Vec<String> = Vec::new();
        for rule in self.targets.iter().take(HOSTS_NAMED).filter_map(Target::rule) {
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
        rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(event: &str, method: &str, host: &str, port: u16, verdict: &str, code: &str) -> String {
        format!(
            r#"{{"time":"2026-01-02T03:04:05.678Z","event":"{event}","connection":1,"bottle":"b","client":"unix",
            "method":"{method}","host":"{host}","port":{port},"verdict":"{verdict}","code":"{code}","reason":"r",
            "bytes_up":0,"bytes_down":0,"duration_ms":1,"more":true}}"#
        )
        .replace('\n', "")
            + "\n"
    }

    fn sum(lines: &[String]) -> Summary {
        let mut counter = Counter::default();
        counter.take(lines.concat().as_bytes()).unwrap();
        counter.finish()
    }

    #[test]
    fn the_most_frequent_is_first_and_each_request_counts_once() {
        let lines = [
            line("request", "CONNECT", "api.test", 443, "allow", "allowed"),
            line("close", "CONNECT", "api.test", 443, "allow", "allowed"),
            line("request", "CONNECT", "b.test", 443, "deny", "not_in_allowlist"),
            line("request", "GET", "a.test", 80, "deny", "not_in_allowlist"),
            line("request", "CONNECT", "a.test", 22, "deny", "port_not_allowed"),
            line("request", "CONNECT", "a.test", 22, "deny", "port_not_allowed"),
            line("close", "CONNECT", "api.test", 443, "deny", "sni_mismatch"),
            "not json\n".to_owned(),
        ];
        let summary = sum(&lines);
        assert_eq!((summary.allowed, summary.blocked), (1, 5));
        let text = "5 requests blocked
    2  a.test:22     port_not_allowed
    1  a.test:80     not_in_allowlist
    1  api.test:443  sni_mismatch
    1  b.test:443    not_in_allowlist";
        assert_eq!(summary.text().unwrap(), text);
        assert_eq!(summary.rules(), ["a.test:22", "a.test", "b.test"]);
    }

    #[test]
    fn only_a_host_that_a_rule_would_let_through_is_offered() {
        let check = |host: &str, port, code: &str, rule: Option<&str>| {
            let summary = sum(&[line("request", "CONNECT", host, port, "deny", code)]);
            assert_eq!(summary.rules(), rule.into_iter().collect::<Vec<_>>(), "{host} {code}");
        };
        check("a.test", 443, "not_in_allowlist", Some("a.test"));
        check("a.test", 8443, "not_in_allowlist", Some("a.test:8443"));
        check("[2001:db8::1]", 22, "ip_literal", Some("[2001:db8::1]:22"));
        check("a.test", 443, "denied_by_rule", None);
        check("a.test", 443, "dlp_secret", None);
        check("a.test", 443, "a_code_of_tomorrow", None);
        check("not a host", 443, "not_in_allowlist", None);
        check("", 0, "not_in_allowlist", None);
    }

    #[test]
    fn what_pipelock_refused_is_offered_without_a_port() {
        let blocked = |target: &str, scanner: &str| {
            format!(
                r#"{{"level":"warn","component":"pipelock","event":"blocked","method":"CONNECT","target":"{target}","scanner":"{scanner}","reason":"r","time":"2026-01-02T03:04:05Z"}}"#
            ) + "\n"
        };
        let summary = sum(&[blocked("a.test:8443", "allowlist"), blocked("b.test:443", "ssrf")]);
        assert_eq!(summary.blocked, 2);
        assert_eq!(summary.rules(), ["a.test"]);
        let text =
            "2 requests blocked\n    1  a.test:8443  not_in_allowlist\n    1  b.test:443   private_address";
        assert_eq!(summary.text().unwrap(), text);
    }

    #[test]
    fn many_hosts_are_counted_and_few_named() {
        let lines: Vec<_> = (0..8)
            .map(|n| line("request", "CONNECT", &format!("h{n}.test"), 443, "deny", "not_in_allowlist"))
            .collect();
        let text = sum(&lines).text().unwrap();
        assert!(text.starts_with("8 requests blocked\n") && text.ends_with("and 3 more"), "{text}");
    }

    #[test]
    fn a_run_without_a_log_or_refusals_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), Summary::default());
        assert_eq!(Summary::default().text(), None);
        let allowed = line("request", "GET", "a.test", 80, "allow", "allowed");
        let denied = line("request", "GET", "b.test", 80, "deny", "not_in_allowlist");
        std::fs::write(dir.path().join("egress.jsonl.1"), denied).unwrap();
        std::fs::write(dir.path().join("egress.jsonl"), allowed).unwrap();
        let summary = read(dir.path()).unwrap();
        assert_eq!((summary.allowed, summary.blocked), (1, 1));
    }
}
