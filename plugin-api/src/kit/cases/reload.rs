//! Another policy, or another value of a secret, for a bottle that runs: it counts at once, from any process, and a wrong one changes
//! nothing.

use serde_json::{Value, json};

use super::close::elsewhere;
use super::egress::{ask, bottle};
use crate::kit::bench::{Bench, Check, HELD, HELD_VALUE, SECRET, Session, Stop, call, call_with, ensure};
use crate::kit::elsewhere::Action;
use crate::kit::program::{self, script};
use crate::kit::upstream::{ANSWER, HOST, Upstream};
use crate::{Bottle, EnvVar, ExecRole, FailureKind, ReloadRequest, Reloaded, Result, SecretSpec, Spec};

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

/// The header that the secret stands in.
const HEADER: &str = "x-kit-key";
/// What the bottle has in its place.
const PLACEHOLDER: &str = "placeholder-for-KIT_HELD-aaaaaaaaaaaaaaaa";
/// The value after the first.
const ANOTHER: &str = "canary-of-the-kits-guard-2";

/// Asks for an address with the placeholder.
const SHOW: &str = "if command -v curl >/dev/null; then curl -sS -m 20 -H \"x-kit-key: $2\" \"$1\"
    elif command -v wget >/dev/null; then wget -T 20 --header \"x-kit-key: $2\" -qO- \"$1\"
    else exit 42; fi; true";

/// Lets the guard hold a secret for the kit's server.
fn hold(spec: &mut Spec, upstream: &Upstream) {
    let egress = &mut spec.bottle.egress;
    // Without TLS: the kit has no authority that a guard would trust.
    egress.config_json["policy"]["secrets"] = json!([{
        "name": HELD,
        "placeholder": PLACEHOLDER,
        "hosts": [format!("{HOST}:{}", upstream.port)],
        "places": [format!("header: {HEADER}")],
        "plain_http": true,
    }]);
    egress.config = egress.config_json.to_string();
    spec.bottle.env.push(EnvVar::literal(HELD, PLACEHOLDER));
    spec.bottle.secrets.push(SecretSpec::new(HELD, Vec::new()));
}

pub(super) fn secret(bench: &Bench) -> Check {
    let upstream = Upstream::start()?;
    let session = bench.session()?;
    let mut spec = bench.spec()?;
    upstream.allow(&mut spec)?;
    hold(&mut spec, &upstream);
    let bottle = session.bottle_of(&spec)?;
    let url = format!("http://{HOST}:{}/", upstream.port);
    let is_put_in = |value: &str| -> Check<bool> {
        let command = script(SHOW, &[&url, PLACEHOLDER]);
        let ended = program::run(&session.opened, &bottle, ExecRole::Command, &command, b"")?;
        if ended.code == 42 {
            return Err(Stop::Skip("there is no `curl` or `wget` in the bottle".to_owned()));
        }
        Ok(upstream.was_told(value))
    };
    ensure!(is_put_in(HELD_VALUE)?, "the value of a secret is not put in for its placeholder");
    let renew =
        |name: &str| session.opened.reload(&call_with(ANOTHER), &bottle, &ReloadRequest::of_secret(name));
    match renew(HELD) {
        Ok(answer) => ensure!(answer.applied, "the answer does not say that the value counts: {answer:?}"),
        Err(failure) if failure.kind == FailureKind::Unsupported => {
            return Err(Stop::Skip("it changes no secret of a bottle that runs".to_owned()));
        }
        Err(failure) => return Err(failure.into()),
    }
    ensure!(is_put_in(ANOTHER)?, "the new value is not put in");
    ensure!(renew(SECRET.0).is_err(), "a secret that the guard does not hold gets another value");
    ensure!(is_put_in(ANOTHER)?, "what was refused has changed the value");
    ensure!(!session.told().contains(ANOTHER), "the value is in a log record");
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
