//! Every form in which a document was ever released, kept for ever.
//!
//! `golden/<version>/<type>.json` holds a document as contract `<version>` wrote it; `<type>-least.json` is the shortest that
//! version accepted. A file there is never changed and never removed: some plug-in, or some saved record, has that form.
//! A new minor version adds a folder with what it added. A test that fails here means that a plug-in which is already
//! built would no longer be understood: give the new field a default, keep the old name, add an `Unknown` arm.

#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use claude_bottle_plugin_api::{
    ActiveBottle, Bottle, BottleState, CleanupPlan, CleanupReport, CleanupScope, ConnectRequest, Connected,
    Context, Description, EntryKind, EnvValue, Event, EventState, ExecRequest, ExecRole, ExitStatus,
    ExportRequest, ExportWhat, Exported, Failure, FailureKind, Health, IndexEntry, LogRecord, Plan, Probe,
    Provisioned, Proxy, ReloadRequest, Reloaded, Restore, Spec, Subject,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Reads a document as its type and writes it again.
type Pass = fn(&Value) -> Result<Value, serde_json::Error>;

/// Every document that crosses, by the name of its files.
const DOCUMENTS: &[(&str, Pass)] = &[
    ("active-bottles", pass::<Vec<ActiveBottle>>),
    ("bottle", pass::<Bottle>),
    ("cleanup-plan", pass::<CleanupPlan>),
    ("cleanup-report", pass::<CleanupReport>),
    ("cleanup-scope", pass::<CleanupScope>),
    ("connect-request", pass::<ConnectRequest>),
    ("connected", pass::<Connected>),
    ("context", pass::<Context>),
    ("description", pass::<Description>),
    ("event", pass::<Event>),
    ("exec-request", pass::<ExecRequest>),
    ("exit-status", pass::<ExitStatus>),
    ("export-request", pass::<ExportRequest>),
    ("exported", pass::<Exported>),
    ("failure", pass::<Failure>),
    ("index-entry", pass::<IndexEntry>),
    ("log-record", pass::<LogRecord>),
    ("plan", pass::<Plan>),
    ("probe", pass::<Probe>),
    ("provisioned", pass::<Provisioned>),
    ("reload-request", pass::<ReloadRequest>),
    ("reloaded", pass::<Reloaded>),
    ("restore", pass::<Restore>),
    ("spec", pass::<Spec>),
];

fn pass<T: Serialize + DeserializeOwned>(document: &Value) -> Result<Value, serde_json::Error> {
    serde_json::to_value(serde_json::from_value::<T>(document.clone())?)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Returns every golden file with the name of its document.
fn files() -> Vec<(PathBuf, String)> {
    let folders = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    let named = files.map(|file| {
        let stem = file.file_stem().unwrap().to_str().unwrap();
        let name = stem.strip_suffix("-least").unwrap_or(stem).to_owned();
        (file, name)
    });
    named.collect()
}

fn read(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

fn read_as<T: DeserializeOwned>(file: &str) -> T {
    serde_json::from_value(read(&folder().join(file))).unwrap()
}

/// Returns where `new` lacks or changes something that `old` says; what `new` has beyond it does not count.
fn lost(old: &Value, new: &Value, place: &str) -> Option<String> {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => old.iter().find_map(|(key, value)| {
            lost(value, new.get(key).unwrap_or(&Value::Null), &format!("{place}.{key}"))
        }),
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            old.iter().zip(new).find_map(|(old, new)| lost(old, new, &format!("{place}[]")))
        }
        _ => (old != new).then(|| format!("{place} was {old} and is {new}")),
    }
}

#[test]
fn every_released_form_is_read_and_nothing_of_it_is_lost() {
    let mut seen = BTreeSet::new();
    for (file, name) in files() {
        let (_, pass) = DOCUMENTS.iter().find(|(known, _)| *known == name).unwrap();
        let old = read(&file);
        let new = pass(&old).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        if let Some(difference) = lost(&old, &new, "") {
            panic!("{}: {difference}", file.display());
        }
        seen.insert(name);
    }
    let all: BTreeSet<_> = DOCUMENTS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(seen, all, "a document without a golden file");
}

#[test]
fn unknown_fields_are_tolerated_in_every_document_and_at_every_depth() {
    for (file, name) in files() {
        let (_, pass) = DOCUMENTS.iter().find(|(known, _)| *known == name).unwrap();
        let mut document = read(&file);
        add_fields(&mut document);
        pass(&document).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

fn add_fields(document: &mut Value) {
    match document {
        Value::Object(fields) => {
            fields.values_mut().for_each(add_fields);
            // The map of settings holds texts alone, whatever their names.
            if !fields.contains_key("BASE_IMAGE") {
                fields.insert("from-a-later-version".to_owned(), json!({ "any": [1, "thing"] }));
            }
        }
        // A pair of a name and an address is no document.
        Value::Array(items) => items.iter_mut().for_each(add_fields),
        _ => {}
    }
}

#[test]
fn what_the_texts_mean_has_not_changed() {
    let spec: Spec = read_as("1.0/spec.json");
    assert_eq!(spec.bottle.env[0].value, EnvValue::Literal { value: "debug".to_owned() });
    assert_eq!(spec.bottle.env[1].value, EnvValue::Secret);
    assert_eq!(spec.bottle.egress.proxy, Proxy::Pipelock);
    assert_eq!(spec.bottle.egress.addresses[1].1.to_string(), "2001:db8::1");
    assert_eq!(spec.bottle.limits.memory_bytes, Some(4 << 30));
    assert_eq!(spec.owner.pid, 4242);
    let least: Spec = read_as("1.0/spec-least.json");
    assert_eq!((least.bottle.egress.proxy, least.bottle.egress.port), (Proxy::Guard, 0));
    assert!(least.workspace.is_none() && least.requires.is_empty() && least.bottle.egress.hosts.is_empty());
    let probe: Probe = read_as("1.0/probe.json");
    assert_eq!((probe.health, probe.remedy.as_deref()), (Health::Unusable, Some("systemctl start docker")));
    let failure: Failure = read_as("1.0/failure.json");
    assert_eq!((failure.kind, failure.undo[0].kind), (FailureKind::Conflict, FailureKind::Internal));
    let request: ExecRequest = read_as("1.0/exec-request.json");
    assert_eq!((request.role, request.streams, request.resized), (ExecRole::Agent, [0, 1, 2], Some(9)));
    let active: Vec<ActiveBottle> = read_as("1.0/active-bottles.json");
    let states: Vec<_> = active.iter().map(|bottle| bottle.state).collect();
    use BottleState::{Created, Creating, Running, Stopped};
    assert_eq!(states, [Creating, Created, Running, Stopped]);
}

/// Reads the text of an enum of the contract.
fn arm<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_value(json!(text)).unwrap()
}

#[test]
fn the_arms_of_every_enum_keep_their_texts_and_an_unknown_one_is_read() {
    let kinds = [
        ("invalid", FailureKind::Invalid),
        ("missing", FailureKind::Missing),
        ("unreachable", FailureKind::Unreachable),
        ("denied", FailureKind::Denied),
        ("conflict", FailureKind::Conflict),
        ("not-found", FailureKind::NotFound),
        ("unsupported", FailureKind::Unsupported),
        ("cancelled", FailureKind::Cancelled),
        ("timeout", FailureKind::Timeout),
        ("panic", FailureKind::Panic),
        ("internal", FailureKind::Internal),
    ];
    for (text, kind) in kinds {
        assert_eq!(arm::<FailureKind>(text), kind);
        assert_eq!(serde_json::to_value(kind).unwrap(), text);
    }
    let states = [
        ("started", EventState::Started),
        ("running", EventState::Running),
        ("output", EventState::Output),
        ("finished", EventState::Finished),
        ("failed", EventState::Failed),
    ];
    for (text, state) in states {
        assert_eq!(arm::<EventState>(text), state);
    }
    for (text, health) in
        [("usable", Health::Usable), ("degraded", Health::Degraded), ("unusable", Health::Unusable)]
    {
        assert_eq!(arm::<Health>(text), health);
    }
    assert_eq!(arm::<FailureKind>("from-1.7"), FailureKind::Unknown);
    assert_eq!(arm::<EventState>("from-1.7"), EventState::Unknown);
    assert_eq!(arm::<Health>("from-1.7"), Health::Unknown);
    assert_eq!(arm::<BottleState>("from-1.7"), BottleState::Unknown);
    assert_eq!(arm::<ExecRole>("from-1.7"), ExecRole::Unknown);
    assert_eq!(arm::<Proxy>("from-1.7"), Proxy::Unknown);
    assert_eq!(arm::<ExportWhat>("from-1.7"), ExportWhat::Unknown);
    assert_eq!(arm::<EntryKind>("from-1.7"), EntryKind::Unknown);
}

#[test]
fn a_kind_of_variable_that_is_not_known_is_kept_apart_and_never_taken_for_another() {
    // The glue refuses it, once it has looked at what the run requires.
    let mut spec = read(&folder().join("1.0/spec.json"));
    spec["bottle"]["env"][0]["value"] = json!({ "kind": "from-1.7", "value": { "any": "thing" } });
    let spec: Spec = serde_json::from_value(spec).unwrap();
    assert_eq!(spec.bottle.env[0].value, EnvValue::Unknown);
}

#[test]
fn what_contract_1_1_added_means_what_it_says() {
    let spec: Spec = read_as("1.1/spec.json");
    assert_eq!(spec.bottle.secrets[0].hosts, ["registry.example.org", "*.example.org"]);
    assert_eq!(spec.bottle.egress.config_json["version"], 1);
    assert_eq!((spec.owner.boot_id.as_str(), spec.owner.pid_namespace), ("0a1b2c3d", 4_026_531_836));
    let older: Spec = read_as("1.0/spec.json");
    assert!(older.bottle.secrets.is_empty() && older.bottle.egress.config_json.is_null());
    assert_eq!((older.owner.boot_id.as_str(), older.owner.pid_namespace), ("", 0));
    let failure: Failure = read_as("1.1/failure.json");
    assert_eq!(failure.subject.as_deref(), Some(&Subject::Option("pull".to_owned())));
    let request: ExportRequest = read_as("1.1/export-request.json");
    assert_eq!((request.what, request.stream), (ExportWhat::History, 7));
    let request: ConnectRequest = read_as("1.1/connect-request.json");
    assert_eq!((request.port, request.stream), (5173, 7));
    assert_eq!(read_as::<Connected>("1.1/connected.json"), Connected::cut());
    assert_eq!(read_as::<Connected>("1.1/connected-least.json"), Connected::whole());
    let entry: IndexEntry = read_as("1.1/index-entry.json");
    assert_eq!((entry.kind, entry.path.as_bytes(), entry.size), (EntryKind::File, &b"\xff/x"[..], 3));
    let request: ReloadRequest = read_as("1.1/reload-request.json");
    assert_eq!(request.document["rules"][0]["rule"], "example.org");
    assert!(read_as::<Reloaded>("1.1/reloaded.json").applied);
    // An answer that does not say it has not applied it.
    assert!(!read_as::<Reloaded>("1.1/reloaded-least.json").applied);
    let plan: Plan = read_as("1.1/plan.json");
    assert_eq!(plan.spec().unwrap().owner.started, 9);
    let restore: Restore = read_as("1.1/restore.json");
    assert_eq!(restore.features(), [Restore::WORKSPACE, Restore::SEALED, Restore::HISTORY]);
    assert!(older.restore.is_none() && Restore::default().features().is_empty());
}
