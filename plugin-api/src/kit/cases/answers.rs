//! What a backend says before any bottle is made.

use serde_json::{Value, json};

use crate::kit::bench::{Bench, Check, call, ensure};
use crate::kit::snapshot;
use crate::{CONTRACT, FailureKind, Health};

pub(super) fn describe(bench: &Bench) -> Check {
    let description = bench.module.describe()?;
    ensure!(!description.version.is_empty(), "its version is empty");
    ensure!(
        description.contract.is_compatible(CONTRACT),
        "it speaks contract {}, and the kit {CONTRACT}",
        description.contract
    );
    let mut names: Vec<_> = description.capabilities.iter().map(|c| c.as_str().to_owned()).collect();
    names.sort();
    names.dedup();
    ensure!(names.len() == description.capabilities.len(), "a capability is declared twice");
    let again = bench.module.describe()?;
    ensure!(
        serde_json::to_string(&description).ok() == serde_json::to_string(&again).ok(),
        "it describes itself differently the second time"
    );
    Ok(())
}

pub(super) fn open(bench: &Bench) -> Check {
    drop(bench.session()?);
    let (before, after) = (&bench.files, snapshot::files(&bench.options.scratch));
    let new: Vec<_> = after.keys().filter(|path| !before.contains_key(*path)).collect();
    ensure!(*before == after, "opening it changed files: {new:?}");
    Ok(())
}

pub(super) fn probe(bench: &Bench) -> Check {
    let probe = bench.session()?.opened.probe(&call())?;
    match probe.health {
        Health::Usable => {
            ensure!(probe.warnings.is_empty(), "it is usable and warns; with a warning it is degraded");
        }
        Health::Degraded => {
            ensure!(!probe.warnings.is_empty(), "it is degraded and does not say what is lacking");
        }
        Health::Unusable => {
            ensure!(probe.reason.is_some_and(|text| !text.is_empty()), "it is unusable without a reason");
            ensure!(probe.remedy.is_some_and(|text| !text.is_empty()), "it is unusable without a remedy");
        }
        Health::Unknown => ensure!(false, "its health is a word the kit does not know"),
    }
    Ok(())
}

pub(super) fn operation(bench: &Bench) -> Check {
    let answer = bench.session()?.opened.operation(&call(), "kit-no-such-operation", &Value::Null);
    match answer {
        Err(failure) if failure.kind == FailureKind::Unsupported => Ok(()),
        Err(failure) => {
            ensure!(false, "it fails with `{:?}`: {failure}", failure.kind);
            Ok(())
        }
        Ok(answer) => {
            ensure!(false, "it answers {answer}");
            Ok(())
        }
    }
}

pub(super) fn payload(bench: &Bench) -> Check {
    let session = bench.session()?;
    for (verb, payload) in [("prepare", json!({})), ("launch", json!([1])), ("close", json!("text"))] {
        let answer = session.raw(verb, &payload);
        let kind = answer.as_ref().err().map(|failure| failure.kind);
        ensure!(kind == Some(FailureKind::Invalid), "`{verb}` of {payload} comes to {answer:?}");
    }
    Ok(())
}
