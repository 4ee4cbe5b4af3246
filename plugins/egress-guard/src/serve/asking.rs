//! Requests that wait for an answer: where the configuration says so, a host that no rule allows is not refused at once.
//!
//! The question is a line in the decision log, and the answer is another policy: one that allows the host, or one that denies it. Nothing
//! else can answer, so there is no second way to be let through. What the guard lets wait is bounded, and what finds no place is
//! refused as ever.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use claude_bottle_egress_policy::{Code, Decision, LogEvent};

use super::admit::Denial;
use super::client::Client;
use super::request::Request;
use super::state::{Server, Snapshot};

/// The most places that are asked about at a time: more are not read by a person.
const MOST_PLACES: usize = 32;

/// The most requests that wait, so that they do not take the place of those that are allowed.
const MOST_WAITING: usize = 128;

/// A host and a port.
type Place = (String, u16);

/// What is asked about at the moment, and how many requests wait for each.
#[derive(Debug, Default)]
pub(super) struct Questions(Mutex<BTreeMap<Place, usize>>);

impl Questions {
    /// Takes a place for one more that waits; returns whether its question is a new one, and `None` if there is no place.
    fn begin(&self, place: &Place) -> Option<bool> {
        let mut waiting = self.lock();
        if waiting.values().sum::<usize>() >= MOST_WAITING {
            return None;
        }
        if let Some(count) = waiting.get_mut(place) {
            *count += 1;
            return Some(false);
        }
        let has_room = waiting.len() < MOST_PLACES;
        has_room.then(|| waiting.insert(place.clone(), 1).is_none())
    }

    /// Gives a place back; returns `true` if nothing waits for that answer any more.
    fn end(&self, place: &Place) -> bool {
        let mut waiting = self.lock();
        let left = waiting.get(place).map_or(0, |count| count - 1);
        match left {
            0 => waiting.remove(place).is_some(),
            left => {
                waiting.insert(place.clone(), left);
                false
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Place, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns `true` if a refusal is one that a person may take back.
pub(super) fn is_open(code: Code) -> bool {
    matches!(code, Code::NotInAllowlist | Code::PortNotAllowed | Code::IpLiteral)
}

/// What came of a refusal that may be asked about.
pub(super) enum Outcome {
    /// It was allowed while it waited.
    Allowed(Decision),
    /// It was denied on purpose while it waited.
    Refused(Denial),
    /// No answer came.
    NoAnswer(Denial),
    /// It was not asked about: by the configuration, for what it is, or since too much waits.
    NotAsked(Denial),
}

impl Outcome {
    /// Returns what decides about a request.
    pub(super) fn decided(self) -> Result<Decision, Denial> {
        match self {
            Self::Allowed(decision) => Ok(decision),
            Self::Refused(denial) | Self::NoAnswer(denial) | Self::NotAsked(denial) => Err(denial),
        }
    }
}

/// Waits for an answer to what was refused, where that is asked about; returns at once where it is not.
///
/// `decide` asks a policy about it.
pub(super) async fn wait(
    client: &Client,
    request: &mut Request,
    decide: impl Fn(&Snapshot) -> Result<Decision, Denial>,
    denial: Denial,
) -> Outcome {
    let limit = request.snapshot.config.ask_seconds;
    if limit == 0 || !is_open(denial.code) || request.is_hidden() {
        return Outcome::NotAsked(denial);
    }
    let server = Arc::clone(&client.server);
    let place = (request.host.clone(), request.port);
    let Some(is_new) = server.questions.begin(&place) else {
        return Outcome::NotAsked(denial.detail("too much waits for an answer already"));
    };
    // What the agent says is told although the same place is asked about.
    if is_new || request.why.is_some() {
        client.ledger.question(request, LogEvent::Ask, denial.clone()).await;
    }
    let outcome = tokio::select! {
        answer = answer(&server, Arc::clone(&request.snapshot), decide) => match answer {
            Ok((snapshot, decision)) => {
                request.snapshot = snapshot;
                Outcome::Allowed(decision)
            }
            Err(denial) => Outcome::Refused(denial),
        },
        () = tokio::time::sleep(Duration::from_secs(limit)) => {
            Outcome::NoAnswer(denial.detail(format!("no answer came within {limit} s")))
        }
        () = server.stopped() => Outcome::NoAnswer(denial),
    };
    if server.questions.end(&place) {
        let said = match &outcome {
            Outcome::Allowed(decision) => Denial::of(decision),
            Outcome::Refused(denial) | Outcome::NoAnswer(denial) | Outcome::NotAsked(denial) => {
                denial.clone()
            }
        };
        client.ledger.question(request, LogEvent::Answer, said).await;
    }
    outcome
}

/// Waits until another policy allows a request, or denies it on purpose.
async fn answer(
    server: &Server,
    mut known: Arc<Snapshot>,
    decide: impl Fn(&Snapshot) -> Result<Decision, Denial>,
) -> Result<(Arc<Snapshot>, Decision), Denial> {
    let mut changed = server.changes();
    loop {
        let now = server.snapshot();
        if !Arc::ptr_eq(&now, &known) {
            match decide(&now) {
                Ok(decision) => return Ok((now, decision)),
                Err(denial) if !is_open(denial.code) => return Err(denial),
                Err(_) => known = now,
            }
        }
        // The sender lives as long as the server.
        changed.changed().await.ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_asked_once_and_too_many_are_not_asked() {
        let questions = Questions::default();
        let place = |n: usize| (format!("h{n}.test"), 443);
        assert_eq!((questions.begin(&place(0)), questions.begin(&place(0))), (Some(true), Some(false)));
        assert!(!questions.end(&place(0)) && questions.end(&place(0)));
        assert!(!questions.end(&place(0)), "it was over");
        for n in 0..MOST_PLACES {
            assert_eq!(questions.begin(&place(n)), Some(true));
        }
        assert_eq!(questions.begin(&place(MOST_PLACES)), None);
        for _ in MOST_PLACES..MOST_WAITING {
            assert_eq!(questions.begin(&place(0)), Some(false));
        }
        assert_eq!(questions.begin(&place(0)), None);
        assert!(questions.end(&place(1)));
        assert_eq!(questions.begin(&place(MOST_PLACES)), Some(true));
    }
}
