//! What the agent asks of the guard for itself, by the command `bottle` inside: what it may reach, to be allowed a host, and to give
//! back one that it was allowed.
//!
//! Nothing here allows anything. The first is told what could be tried out, the second waits for an answer as a refused request does
//! (`asking`), and the third takes away. What the agent says of a host is its text: looked at, escaped and cut before it is written.

use claude_bottle_egress_policy::{
    Code, Decision, GIVE_BACK, HostOrIp, LogEvent, LogRecord, Rule, Scheme, Verdict, parse_authority,
};
use serde::Serialize;

use super::admit::Denial;
use super::asking::{self, Outcome};
use super::client::{Client, Next};
use super::request::{MASK, Request};
use super::state::Snapshot;
use crate::http::head::RequestHead;
use crate::http::response;
use crate::log::notice;

/// The header with what the agent says of a host, in UTF-8.
const WHY: &str = "x-bottle-why";

/// The most characters of it: more is not read by a person who is to answer.
const MOST_WHY: usize = 200;

/// The port of a host that is asked for without one.
const USUAL_PORT: u16 = 443;
const HTTP_PORT: u16 = 80;

/// What is asked, in place of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    /// What the agent may reach.
    Policy,
    /// To be allowed a host.
    Ask,
    /// To have what was given for a host taken away.
    GiveBack,
}

impl Words {
    /// Returns what a head is, unless it is a request: one of these methods may also be in a URL's request.
    pub(super) fn of(head: &RequestHead) -> Option<Self> {
        if head.target.contains('/') {
            return None;
        }
        match (head.method.as_str(), head.headers.as_slice()) {
            ("POLICY", []) => Some(Self::Policy),
            ("ASK", [why]) if why.name == WHY => Some(Self::Ask),
            (GIVE_BACK, []) => Some(Self::GiveBack),
            _ => None,
        }
    }
}

/// What the agent may reach.
#[derive(Serialize)]
struct Reach {
    rules: Vec<RuleView>,
    /// For how many seconds a question waits; 0 where nothing is asked.
    ask_seconds: u64,
}

#[derive(Serialize)]
struct RuleView {
    rule: String,
    /// When it ends by itself, in seconds since 1970-01-01 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
    /// Whether it was given while the bottle runs.
    given: bool,
}

/// What came of a question.
#[derive(Serialize)]
struct Said {
    answer: Answer,
    host: String,
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Allowed,
    Refused,
    /// The question was asked, or could not be, and nothing came of it.
    Unanswered,
    /// In this bottle nothing is asked.
    Off,
}

/// What was taken away.
#[derive(Serialize)]
struct GivenBack {
    given_back: Vec<String>,
    /// Why it is nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Answers what the agent asks, and ends the connection.
pub(super) async fn answer(
    client: &mut Client,
    mut request: Request,
    (words, head): (Words, &RequestHead),
) -> Next {
    request.describe(&head.method, &head.target);
    let said = match words {
        Words::Policy => Ok(response::said(&reach(&request.snapshot))),
        Words::Ask => ask(client, &mut request, head).await.map(|said| response::said(&said)),
        Words::GiveBack => give_back(client, &request, &head.target).await,
    };
    match said {
        Ok(answer) => {
            client.tell(&answer).await;
            Next::Close
        }
        Err(denial) => client.refuse(&request, denial).await,
    }
}

fn reach(snapshot: &Snapshot) -> Reach {
    let view = |rule: &Rule| RuleView { rule: rule.to_string(), until: rule.until(), given: rule.is_given() };
    let rules = snapshot.config.policy.rules.iter().map(view).collect();
    Reach { rules, ask_seconds: snapshot.config.ask_seconds }
}

/// Asks for a host, and waits for what comes of it.
async fn ask(client: &Client, request: &mut Request, head: &RequestHead) -> Result<Said, Denial> {
    client.ledger.check()?;
    // Before the policy, since its answer repeats the name.
    request.note(request.words.clone())?;
    let (host, port) = place(&head.target)?;
    request.resolve_to(&host, port);
    request.why = Some(why(request, head)?);
    let decide = |snapshot: &Snapshot| decide(snapshot, &host, port);
    let denial = match decide(&request.snapshot) {
        Ok(decision) => {
            let reason = decision.reason.clone();
            client.ledger.allowed(request, LogEvent::Answer, &decision, reason).await;
            return Ok(Said::of(Answer::Allowed, request, Denial::of(&decision)));
        }
        Err(denial) => denial,
    };
    let is_off = request.snapshot.config.ask_seconds == 0;
    let (answer, denial) = match asking::wait(client, request, decide, denial).await {
        Outcome::Allowed(decision) => {
            return Ok(Said::of(Answer::Allowed, request, Denial::of(&decision)));
        }
        Outcome::NoAnswer(denial) => (Answer::Unanswered, denial),
        Outcome::Refused(denial) => (Answer::Refused, denial),
        Outcome::NotAsked(denial) if !asking::is_open(denial.code) => (Answer::Refused, denial),
        Outcome::NotAsked(denial) if is_off => (Answer::Off, denial),
        Outcome::NotAsked(denial) => (Answer::Unanswered, denial),
    };
    client.ledger.denied(request, LogEvent::Request, denial.clone()).await;
    Ok(Said::of(answer, request, denial))
}

impl Said {
    fn of(answer: Answer, request: &Request, said: Denial) -> Self {
        let reason = match said.detail {
            Some(detail) => format!("{}: {detail}", said.reason),
            None => said.reason,
        };
        Self { answer, host: request.host.clone(), port: request.port, rule: said.rule, reason }
    }
}

fn place(target: &str) -> Result<(HostOrIp, u16), Denial> {
    parse_authority(target, Some(USUAL_PORT)).map_err(|error| Denial::new(Code::BadHost, error.to_string()))
}

/// Decides whether anything may go to a place, whatever is spoken there.
fn decide(snapshot: &Snapshot, host: &HostOrIp, port: u16) -> Result<Decision, Denial> {
    let decide = |scheme| snapshot.config.policy.decide(host, port, scheme);
    let (tunnel, plain) = (decide(snapshot.config.tunnel(host, port)), decide(Scheme::Http));
    match (tunnel.is_allowed(), plain.is_allowed()) {
        (true, _) => Ok(tunnel),
        (false, true) => Ok(plain),
        (false, false) => Err(Denial::of(if port == HTTP_PORT { &plain } else { &tunnel })),
    }
}

/// Returns what the agent says of it, as it may be written.
fn why(request: &Request, head: &RequestHead) -> Result<String, Denial> {
    let bytes = head.values(WHY).next().unwrap_or_default();
    let text =
        std::str::from_utf8(bytes).map_err(|_| Denial::new(Code::BadRequest, "the text is not UTF-8"))?;
    if text.trim().is_empty() {
        return Err(Denial::new(Code::BadRequest, "there is no text that says why"));
    }
    let findings = request.snapshot.inspector.word(text, "text");
    let has_found = findings.any();
    request.note(findings)?;
    Ok(if has_found { MASK.to_owned() } else { readable(text) })
}

/// Returns a text that drives no terminal and hides nothing, cut.
fn readable(text: &str) -> String {
    let escape = |c: char| match c {
        '\'' | '"' | '\\' => c.to_string(),
        '\t' => ' '.to_string(),
        other => other.escape_debug().to_string(),
    };
    let mut shown: String = text.chars().take(MOST_WHY).map(escape).collect();
    if text.chars().nth(MOST_WHY).is_some() {
        shown.push('…');
    }
    shown
}

/// Takes away what was given for a host.
async fn give_back(client: &Client, request: &Request, place: &str) -> Result<Vec<u8>, Denial> {
    client.ledger.check()?;
    request.note(request.words.clone())?;
    let server = &client.server;
    let Some(given) = server.narrow(|policy| policy.without_given(place)).await else {
        let place = readable(place);
        let reason = Some(format!("nothing was allowed for `{place}` while this bottle runs"));
        return Ok(response::said(&GivenBack { given_back: Vec::new(), reason }));
    };
    let given_back: Vec<_> = given.iter().map(ToString::to_string).collect();
    let reason = format!("the agent gave back `{}`", given_back.join("`, `"));
    let record =
        notice(&request.snapshot.config.bottle, LogEvent::Policy, (Verdict::Allow, Code::Allowed), reason);
    // The host program takes the same rules out of what it knows.
    let (method, host) = (GIVE_BACK.to_owned(), place.to_owned());
    server.logger.write(LogRecord { method, host, ..record }).await;
    Ok(response::said(&GivenBack { given_back, reason: None }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::{Header, Version};

    fn head(method: &str, target: &str, headers: &[(&str, &str)]) -> RequestHead {
        let header = |(name, value): &(&str, &str)| Header {
            name: (*name).to_owned(),
            value: value.as_bytes().to_vec(),
        };
        RequestHead {
            method: method.to_owned(),
            target: target.to_owned(),
            version: Version::Http11,
            headers: headers.iter().map(header).collect(),
        }
    }

    #[test]
    fn words_are_told_from_requests() {
        let check = |method, target, headers: &[_], expected| {
            assert_eq!(Words::of(&head(method, target, headers)), expected, "{method} {target}");
        };
        check("POLICY", "*", &[], Some(Words::Policy));
        check("ASK", "a.test:443", &[(WHY, "x")], Some(Words::Ask));
        check("GIVEBACK", "a.test", &[], Some(Words::GiveBack));
        check("POLICY", "http://a.test/", &[], None);
        check("POLICY", "*", &[("host", "a.test")], None);
        check("ASK", "a.test:443", &[], None);
        check("ASK", "a.test:443", &[(WHY, "x"), ("host", "a.test")], None);
        check("ask", "a.test:443", &[(WHY, "x")], None);
    }

    #[test]
    fn what_the_agent_says_is_escaped_and_cut() {
        assert_eq!(readable("don't \"say\" größer"), "don't \"say\" größer");
        assert_eq!(readable("\u{1b}[2J\u{202e}x\ty"), "\\u{1b}[2J\\u{202e}x y");
        let long = readable(&"ä".repeat(500));
        assert_eq!(long.chars().count(), MOST_WHY + 1);
        assert!(long.ends_with('…'));
    }
}
