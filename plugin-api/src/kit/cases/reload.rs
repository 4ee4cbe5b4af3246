//! Another policy for a bottle that runs: it counts at once, from any process, and a wrong one changes nothing.

use serde_json::{Value, json};

use super::close::elsewhere;
use super::egress::{ask, bottle};
use crate::kit::bench::{Bench, Check, Session, call, ensure};
use crate::kit::elsewhere::Action;
use crate::kit::upstream::{ANSWER, HOST, Upstream};
use crate::{Bottle, FailureKind, ReloadRequest, Reloaded, Result};

/// Returns documents that are not a policy.
fn wrong() -> [Value; 4] {
    [
        json!({ "rules": [{ "rule": "*" }] }),
        json!({ "rules": [{ "rule": "a.kit.test" }], "from-a-later-version": true }),
        json!("a.kit.test"),
        Value::Null,
    ]
}

fn reload(session: &Session<'_>, bottle: &Bottle, document: Value) -> Result<Reloaded> {
    session.opened.reload(&call(), bottle, &ReloadRequest::new(document))
}

fn refused(session: &Session<'_>, bottle: &Bottle) -> Check {
    for document in wrong() {
        let text = document.to_string();
        match reload(session, bottle, document) {
            Ok(answer) => ensure!(false, "{text} comes to {answer:?}"),
            Err(failure) => ensure!(failure.kind == FailureKind::Invalid, "{text} fails as {failure}"),
        }
    }
    Ok(())
}

pub(super) fn counts(bench: &Bench) -> Check {
    let upstream = Upstream::start()?;
    let (session, bottle, spec) = bottle(bench, &upstream)?;
    let policy = spec.bottle.egress.config_json["policy"].clone();
    let url = [format!("http://{HOST}:{}/", upstream.port)];
    let reaches = || -> Check<bool> { Ok(ask(&session, &bottle, "proxy", &url)?.contains(ANSWER)) };
    ensure!(reaches()?, "a host that is allowed does not answer");
    let answer = reload(&session, &bottle, json!({ "rules": [] }))?;
    ensure!(answer.applied, "the answer does not say that the policy counts: {answer:?}");
    ensure!(!reaches()?, "a host that is allowed no more still answers");
    refused(&session, &bottle)?;
    ensure!(!reaches()?, "a document that is not a policy has changed what is allowed");
    let answer = elsewhere(bench, Action::Reload(bottle.clone(), policy))?;
    ensure!(answer["applied"] == true, "from another process the answer is {answer}");
    ensure!(reaches()?, "a host that is allowed again does not answer");
    Ok(())
}

pub(super) fn wrong_is_invalid(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = session.bottle()?;
    refused(&session, &bottle)
}

pub(super) fn closed(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = session.bottle()?;
    session.opened.close(&call(), &bottle)?;
    match reload(&session, &bottle, json!({ "rules": [] })) {
        Ok(answer) => ensure!(false, "in a closed bottle it comes to {answer:?}"),
        Err(failure) => ensure!(failure.kind == FailureKind::NotFound, "it fails as {failure}"),
    }
    Ok(())
}
