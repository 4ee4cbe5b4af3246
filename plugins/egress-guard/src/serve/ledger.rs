//! The lines of the log about one connection, and about what goes over it.

use std::sync::Arc;

use claude_bottle_egress_policy::{Code, Decision, HostOrIp, LogEvent, LogRecord, Verdict};

use super::admit::Denial;
use super::request::Request;
use super::state::Server;
use super::uploads::Budget;
use crate::http::response;
use crate::net::join::Activity;
use crate::net::listen::Peer;

/// What the log knows of a connection.
#[derive(Clone)]
pub(crate) struct Ledger {
    server: Arc<Server>,
    peer: Peer,
    id: u64,
    /// What all requests so far have moved.
    moved: Arc<Activity>,
}

impl Ledger {
    pub(super) fn new(server: &Arc<Server>, peer: Peer, id: u64) -> Self {
        Self { server: Arc::clone(server), peer, id, moved: Arc::default() }
    }

    /// Returns the ledger of the inside of a tunnel, whose requests are counted by themselves.
    pub(super) fn inside(&self) -> Self {
        Self { moved: Arc::default(), ..self.clone() }
    }

    /// Returns what all requests so far have moved.
    pub(super) fn moved(&self) -> &Activity {
        &self.moved
    }

    /// Returns what a request to this host may still send in this run; `None` where nothing limits it.
    pub(super) fn budget(&self, request: &Request, host: &HostOrIp) -> Option<Budget> {
        self.server.uploads.budget(&request.snapshot.config, host)
    }

    /// Refuses while decisions cannot be written.
    pub(super) fn check(&self) -> Result<(), Denial> {
        match self.server.logger.is_failing() {
            true => Err(Denial::new(Code::LogFailed, "the guard cannot write its decisions")),
            false => Ok(()),
        }
    }

    /// Writes that something was refused, or failed.
    pub(super) async fn denied(&self, request: &Request, event: LogEvent, denial: Denial) {
        let denial = request.masked(denial);
        request.capture.refused(response::status(denial.code).0, denial.code.as_str());
        let reason = match denial.detail {
            Some(detail) => format!("{}: {detail}", denial.reason),
            None => denial.reason,
        };
        let record = LogRecord { rule: denial.rule, origin: denial.origin, ..self.record(request, event) };
        self.server
            .logger
            .write(LogRecord { verdict: verdict(denial.code), code: code(denial.code), reason, ..record })
            .await;
    }

    /// Writes that a question was asked, or how it was answered.
    pub(super) async fn question(&self, request: &Request, event: LogEvent, said: Denial) {
        let said = request.masked(said);
        let verdict = if said.code == Code::Allowed { Verdict::Allow } else { Verdict::Deny };
        let record = LogRecord { rule: said.rule, origin: said.origin, ..self.record(request, event) };
        let record = LogRecord { verdict, code: code(said.code), reason: said.reason, ..record };
        self.server.logger.write(record).await;
    }

    /// Writes that something was let through.
    pub(super) async fn allowed(
        &self,
        request: &Request,
        event: LogEvent,
        decision: &Decision,
        reason: String,
    ) {
        let mut record = LogRecord {
            rule: decision.rule.clone(),
            origin: decision.origin.clone(),
            reason: request.mask(reason),
            ..self.record(request, event)
        };
        if let Some(finding) = request.warning.get() {
            record.verdict = Verdict::Warn;
            record.code = code(finding.code());
            record.reason = format!("{}; {finding}", record.reason);
        }
        self.server.logger.write(record).await;
    }

    fn record(&self, request: &Request, event: LogEvent) -> LogRecord {
        let (bytes_up, bytes_down) = request.activity.bytes();
        self.moved.add_both(bytes_up, bytes_down);
        LogRecord {
            time: request.time.clone(),
            event,
            connection: self.id,
            bottle: request.snapshot.config.bottle.clone(),
            client: self.peer.to_string(),
            method: request.method.clone(),
            host: request.host.clone(),
            port: request.port,
            path: request.path.clone(),
            verdict: Verdict::Allow,
            rule: None,
            origin: None,
            code: code(Code::Allowed),
            reason: String::new(),
            status: request.capture.status().filter(|_| event == LogEvent::Request),
            secrets: request.secrets(),
            why: request.why.clone(),
            bytes_up,
            bytes_down,
            duration_ms: u64::try_from(request.activity.elapsed().as_millis()).unwrap_or(u64::MAX),
            exchange: request.capture.exchange().filter(|_| event == LogEvent::Request),
        }
    }
}

fn code(code: Code) -> String {
    code.as_str().to_owned()
}

/// What went wrong on the way of an allowed request is an error; everything else is a refusal.
fn verdict(code: Code) -> Verdict {
    match code {
        Code::NoSuchHost | Code::ResolveFailed | Code::NoResolver | Code::ConnectFailed => Verdict::Error,
        Code::UpstreamFailed | Code::UpstreamProxyFailed | Code::Timeout | Code::Internal => Verdict::Error,
        Code::SecretReflected | Code::UpstreamCertificate | Code::UpstreamTls => Verdict::Error,
        Code::ClientDistrusts | Code::ClientLeft => Verdict::Error,
        _ => Verdict::Deny,
    }
}
