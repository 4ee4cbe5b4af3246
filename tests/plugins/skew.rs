//! Version skew: older and newer plug-ins in older and newer hosts.
//!
//! The older plug-in is `fixtures/frozen-1.0`; the newer one and the newer host are built against a copy of plugin-api with
//! what a contract 1.2 might add. Within contract 1 all four combinations work, and what one side does not know is refused
//! or left out as declared. Another major version or another layout is refused when it is loaded.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock};

use claude_bottle::plugins::Loaded;
use claude_bottle_plugin_api::abi::host::{CallHost, Opened};
use claude_bottle_plugin_api::{
    Bottle, BottleState, Capability, CleanupScope, ConnectRequest, EnvVar, EventState, ExecRequest, ExecRole,
    ExportRequest, FailureKind, Health, Proxy, ReloadRequest, Restore, Subject,
};
use serde_json::{Value, json};

use crate::support::double::{Caller, Host, call, open, spec};
use crate::support::skew::{Edit, Generation};
use crate::support::{Place, assert_says, build};

/// What contract 1.2 may add, in each kind of place in which the contract can grow.
const ONE_DOT_TWO: &[Edit] = &[
    Edit { file: "Cargo.toml", from: "version = \"1.1.0\"", to: "version = \"1.2.0\"" },
    Edit { file: "src/version.rs", from: "major: 1, minor: 1 }", to: "major: 1, minor: 2 }" },
    Edit { file: "src/version.rs", from: "\n        \"1.1\"\n", to: "\n        \"1.2\"\n" },
    // A field of a document that plug-ins make, and of one that hosts make.
    Edit {
        file: "src/types/plan.rs",
        from: "    pub limitations: Vec<String>,\n",
        to: "    pub limitations: Vec<String>,\n    /// New.\n    #[serde(default)]\n    pub shiny: Option<String>,\n",
    },
    Edit {
        file: "src/types/plan.rs",
        from: "limitations: Vec::new(),\n",
        to: "limitations: Vec::new(),\n            shiny: None,\n",
    },
    READ_ONLY[0],
    READ_ONLY[1],
    // An arm of each kind of enum.
    Edit {
        file: "src/types/describe.rs",
        from: "    /// A state this side does not know; treated as unusable.\n",
        to: "    /// New.\n    Splendid,\n    /// A state this side does not know; treated as unusable.\n",
    },
    Edit {
        file: "src/failure.rs",
        from: "    /// A kind this side does not know;",
        to: "    /// New.\n    Overheated,\n    /// A kind this side does not know;",
    },
    Edit {
        file: "src/types/event.rs",
        from: "    /// A state this side does not know; the event is ignored.\n",
        to: "    /// New.\n    Paused,\n    /// A state this side does not know; the event is ignored.\n",
    },
    // A service of the host.
    Edit {
        file: "src/call.rs",
        from: "    fn owner_alive(&self, owner: &Owner) -> Result<bool>;\n",
        to: "    fn owner_alive(&self, owner: &Owner) -> Result<bool>;\n    /// New.\n    ///\n    /// # Errors\n    /// New.\n    fn weather(&self) -> Result<String> {\n        Err(Failure::unsupported(\"weather\"))\n    }\n",
    },
    Edit {
        file: "src/call.rs",
        from: "    /// Sends a progress event as it is.\n",
        to: "    /// New.\n    ///\n    /// # Errors\n    /// New.\n    pub fn weather(&self) -> Result<String> {\n        self.services.weather()\n    }\n\n    /// Sends a progress event as it is.\n",
    },
    Edit {
        file: "src/abi/services.rs",
        from: "    fn owner_alive(&self, owner: &Owner) -> Result<bool> {\n",
        to: "    fn weather(&self) -> Result<String> {\n        answer(self.host.service()(self.context, \"weather\".into(), \"null\".into()))\n    }\n\n    fn owner_alive(&self, owner: &Owner) -> Result<bool> {\n",
    },
    Edit {
        file: "src/abi/host.rs",
        from: "        _ => serve_call(name, payload),\n",
        to: "        \"weather\" => Ok(\"\\\"sunny\\\"\".to_owned()),\n        _ => serve_call(name, payload),\n",
    },
];

static ONE_DOT_TWO_WORLD: LazyLock<(PathBuf, PathBuf)> = LazyLock::new(|| {
    let world = Generation::new("one-dot-two", &["newer", "driver"], ONE_DOT_TWO);
    (world.library("claude-bottle-backend-newer"), world.program("driver"))
});

/// A host as contract 1.0 had it: it does not say which contract it speaks, and hands over no spec with a plan.
const ONE_DOT_ZERO: &[Edit] = &[
    Edit { file: "Cargo.toml", from: "version = \"1.1.0\"", to: "version = \"1.0.0\"" },
    Edit { file: "src/version.rs", from: "major: 1, minor: 1 }", to: "major: 1, minor: 0 }" },
    Edit { file: "src/version.rs", from: "\n        \"1.1\"\n", to: "\n        \"1.0\"\n" },
    Edit { file: "src/abi/check.rs", from: "contract: Some(crate::CONTRACT)", to: "contract: None" },
    Edit {
        file: "src/abi/opened.rs",
        from: "self.run(self.module.launch(), call, &plan.clone().with_spec(spec))",
        to: "let _ = spec;\n        self.run(self.module.launch(), call, plan)",
    },
    Edit {
        file: "src/abi/opened.rs",
        from: "let plan = Cow::Owned(plan.clone().with_spec(spec));",
        to: "let _ = spec;\n        let plan = Cow::Borrowed(plan);",
    },
    // What the driver says in every version.
    READ_ONLY[0],
    READ_ONLY[1],
];

/// A field of the spec that no contract has.
const READ_ONLY: [Edit; 2] = [
    Edit {
        file: "src/types/spec.rs",
        from: "    pub requires: Vec<String>,\n",
        to: "    pub requires: Vec<String>,\n    /// New.\n    #[serde(default)]\n    pub read_only: bool,\n",
    },
    Edit {
        file: "src/types/spec.rs",
        from: "requires: Vec::new(),\n",
        to: "requires: Vec::new(),\n            read_only: false,\n",
    },
];

fn newer() -> Loaded {
    let place = Place::new();
    fs::copy(&ONE_DOT_TWO_WORLD.0, place.file("newer")).unwrap();
    place.load("newer").unwrap()
}

/// Builds the frozen plug-in against today's plugin-api.
fn frozen_file() -> PathBuf {
    let directory = build::root().join("tests/plugins/fixtures/frozen-1.0");
    build::library(build::cargo_in(&directory, "build").arg("--locked"))
}

fn frozen() -> Loaded {
    let place = Place::new();
    fs::copy(frozen_file(), place.file("frozen")).unwrap();
    place.load("frozen").unwrap()
}

/// Runs the newer host on a plug-in, and returns what it printed.
fn drive(file: &Path) -> Value {
    drive_with(&ONE_DOT_TWO_WORLD.1, file)
}

fn drive_with(host: &Path, file: &Path) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(host).arg(file).current_dir(dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn an_older_plugin_goes_through_a_whole_life_in_this_host() {
    let loaded = frozen();
    let description = loaded.module.describe().unwrap();
    let capabilities: Vec<_> = description.capabilities.iter().map(|c| c.as_str().to_owned()).collect();
    assert_eq!(capabilities, ["skills", "of-its-own"]);
    let dir = tempfile::tempdir().unwrap();
    let host = Arc::new(Host::default());
    let backend = open(&loaded, &host, dir.path(), &[]).unwrap();
    let probe = backend.probe(&call()).unwrap();
    assert_eq!((probe.health, &probe.warnings[..]), (Health::Degraded, &["frozen in time".to_owned()][..]));
    assert!(probe.facts[0].value.starts_with("opened by 1.2.3 in /"), "{probe:?}");
    live_through(&backend, &host);
}

fn live_through(backend: &Opened, host: &Host) {
    let mut spec = spec("one");
    spec.bottle.env = vec![EnvVar::literal("A", "1"), EnvVar::secret("TOKEN")];
    let plan = backend.prepare(&call(), &spec).unwrap();
    assert_eq!((plan.name.as_str(), plan.facts[0].value.as_str()), ("frozen-one", "echo hello"));

    let caller = Arc::new(Caller::default());
    let bottle = backend.launch(&(Arc::clone(&caller) as Arc<dyn CallHost>), &spec, &plan).unwrap();
    let states: Vec<_> = caller.events.lock().unwrap().iter().map(|event| event.state).collect();
    use EventState::{Finished, Output, Running, Started};
    assert_eq!(states, [Started, Running, Output, Finished]);
    let again = backend.launch(&call(), &spec, &plan).unwrap_err();
    assert_eq!(again.kind, FailureKind::Conflict);

    let caller = Arc::new(Caller::with_secret("TOKEN", "12345"));
    let provisioned =
        backend.provision(&(Arc::clone(&caller) as Arc<dyn CallHost>), &spec, &plan, &bottle).unwrap();
    assert_eq!(provisioned.prompt_path.as_deref(), Some("/prompt"));
    assert_eq!(*caller.asked.lock().unwrap(), ["TOKEN"]);
    assert_eq!(caller.events.lock().unwrap()[0].done, Some(5));

    let (reader, writer) = std::io::pipe().unwrap();
    let mut request = ExecRequest::new(vec!["x".to_owned()], ExecRole::Agent);
    request.streams = [std::os::fd::AsRawFd::as_raw_fd(&writer); 3];
    assert_eq!(backend.exec(&call(), &bottle, &request).unwrap().code, 7);
    drop(writer);
    assert_eq!(std::io::read_to_string(reader).unwrap(), "agent x in one\n");

    let active = backend.list_active(&call()).unwrap();
    assert_eq!((active[0].id.as_str(), active[0].state), ("one", BottleState::Running));
    let scope = CleanupScope::new(false);
    assert_eq!(backend.prepare_cleanup(&call(), &scope).unwrap().keep.len(), 1);
    host.dead.store(true, std::sync::atomic::Ordering::Relaxed);
    let cleanup = backend.prepare_cleanup(&call(), &scope).unwrap();
    assert_eq!(backend.cleanup(&call(), &cleanup).unwrap().removed.len(), 1);
    backend.close(&call(), &bottle).unwrap();
    assert!(backend.list_active(&call()).unwrap().is_empty());
}

#[test]
fn an_older_plugin_refuses_what_it_does_not_know_where_that_matters() {
    let loaded = frozen();
    let dir = tempfile::tempdir().unwrap();
    let backend = open(&loaded, &Arc::default(), dir.path(), &[]).unwrap();
    let mut spec = spec("one");
    spec.requires = vec!["known-feature".to_owned()];
    backend.prepare(&call(), &spec).unwrap();
    spec.requires.push("from-1.4".to_owned());
    let failure = backend.prepare(&call(), &spec).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unsupported);
    assert_says(&failure.to_string(), &["`from-1.4`"]);
    assert_eq!(failure.hints, ["update the backend's plug-in"]);
    // An enum arm it does not know arrives as one, and it says so itself.
    spec.requires.clear();
    spec.bottle.egress.proxy = Proxy::Unknown;
    assert_eq!(backend.prepare(&call(), &spec).unwrap_err().kind, FailureKind::Unsupported);
    let operation = backend.operation(&call(), "from-1.4", &Value::Null).unwrap_err();
    assert_eq!(operation.kind, FailureKind::Unsupported);
    let refused = open(&loaded, &Arc::default(), dir.path(), &[("REFUSE", "1")]).err().unwrap();
    assert_eq!((refused.kind, &refused.hints[..]), (FailureKind::Invalid, &["unset it".to_owned()][..]));
}

#[test]
fn an_older_plugin_keeps_no_files_after_a_halt_and_refuses_to_restore_them() {
    let loaded = frozen();
    // By this the host knows that changes are lost; it asks for neither of the operations.
    assert!(!loaded.module.describe().unwrap().capabilities.contains(&Capability::EXPORT));
    let dir = tempfile::tempdir().unwrap();
    let backend = open(&loaded, &Arc::default(), dir.path(), &[]).unwrap();
    let bottle = Bottle::new("frozen-one", &()).unwrap();
    assert_eq!(backend.halt(&call(), &bottle).unwrap_err().kind, FailureKind::Unsupported);
    let exported = backend.export(&call(), &bottle, &ExportRequest::workspace(1));
    assert_eq!(exported.unwrap_err().kind, FailureKind::Unsupported);
    let reloaded = backend.reload(&call(), &bottle, &ReloadRequest::default());
    assert_eq!(reloaded.unwrap_err().kind, FailureKind::Unsupported);
    let (mut spec, mut restore) = (spec("one"), Restore::default());
    restore.history = Some("/stage/history.tar".into());
    spec.requires = restore.features().into_iter().map(str::to_owned).collect();
    spec.restore = Some(restore);
    let failure = backend.prepare(&call(), &spec).unwrap_err();
    assert_eq!(failure.subject.as_deref(), Some(&Subject::Feature(Restore::HISTORY.to_owned())));
}

#[test]
fn an_older_plugin_joins_nothing_to_a_port() {
    let loaded = frozen();
    // By this `forward` refuses it, before it listens.
    assert!(!loaded.module.describe().unwrap().capabilities.contains(&Capability::CONNECT));
    let dir = tempfile::tempdir().unwrap();
    let backend = open(&loaded, &Arc::default(), dir.path(), &[]).unwrap();
    let bottle = Bottle::new("frozen-one", &()).unwrap();
    let connected = backend.connect(&call(), &bottle, &ConnectRequest::new(80, 1));
    assert_eq!(connected.unwrap_err().kind, FailureKind::Unsupported);
}

#[test]
fn a_newer_plugin_works_in_this_host_and_what_is_new_is_left_out() {
    let loaded = newer();
    assert_eq!(
        (loaded.note.contract.to_string().as_str(), loaded.note.version.as_str()),
        ("1.2", "4.0.0-rc.1")
    );
    let capabilities = loaded.module.describe().unwrap().capabilities;
    assert!(capabilities.iter().any(|capability| capability.as_str() == "time-travel"));
    let dir = tempfile::tempdir().unwrap();
    let host = Arc::new(Host::default());
    let backend = open(&loaded, &host, dir.path(), &[]).unwrap();

    let probe = backend.probe(&call()).unwrap();
    assert_eq!(probe.health, Health::Unknown);
    assert_eq!(
        probe.facts[0].value, "Unsupported",
        "a host service of 1.2 is declined, not an error of ours"
    );

    let spec = spec("one");
    let plan = backend.prepare(&call(), &spec).unwrap();
    assert_eq!(plan.name, "newer-one");
    let caller = Arc::new(Caller::default());
    backend.launch(&(Arc::clone(&caller) as Arc<dyn CallHost>), &spec, &plan).unwrap();
    assert_eq!(caller.events.lock().unwrap()[0].state, EventState::Unknown);

    let bottle = backend.launch(&call(), &spec, &plan).unwrap();
    assert_eq!(bottle.state, json!({ "shiny": null, "state": { "read_only": false } }));
    let failure = backend.provision(&call(), &spec, &plan, &bottle).unwrap_err();
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Unknown, "too hot"));
    assert_eq!(failure.hints, ["wait"]);
    assert_eq!(backend.operation(&call(), "pause", &json!(1)).unwrap(), json!({ "paused": 1 }));
    backend.halt(&call(), &bottle).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let request = ExportRequest::workspace(std::os::fd::AsRawFd::as_raw_fd(&writer));
    assert_eq!(backend.export(&call(), &bottle, &request).unwrap().entries, 3);
    drop(writer);
    assert_eq!(std::io::read_to_string(reader).unwrap(), "newer-one");
}

#[test]
fn records_and_spans_of_a_plugin_with_its_own_runtime_reach_the_host() {
    let loaded = newer();
    let dir = tempfile::tempdir().unwrap();
    let host = Arc::new(Host::default());
    let backend = open(&loaded, &host, dir.path(), &[]).unwrap();
    let spec = spec("one");
    let plan = backend.prepare(&call(), &spec).unwrap();
    backend.launch(&call(), &spec, &plan).unwrap();
    let records = host.records.lock().unwrap();
    let inside = records.iter().find(|r| r.message == "inside the plug-in's own runtime").unwrap();
    assert_eq!(inside.level, claude_bottle_plugin_api::LogLevel::Info);
    assert_eq!(inside.fields["answer"], 42);
    assert_eq!(inside.spans, ["launch{name=\"newer-one\"}"]);
    let closed = records.iter().find(|record| record.span_micros.is_some()).unwrap();
    assert!(closed.span_micros.unwrap() >= 1000, "{closed:?}");
}

#[test]
fn an_older_plugin_works_in_a_newer_host() {
    let seen = drive(&frozen_file());
    assert_eq!(seen["description"]["contract"], "1.1");
    assert_eq!(seen["probe"]["ok"]["health"], "degraded");
    assert_eq!(seen["plan"]["ok"]["name"], "frozen-one");
    assert_eq!(seen["plan"]["ok"]["shiny"], Value::Null, "a field it does not know has its default");
    assert_eq!(seen["refused"]["failure"]["kind"], "unsupported");
    assert_eq!(seen["provisioned"]["ok"]["prompt_path"], "/prompt");
    assert_eq!(seen["executed"]["ok"]["code"], 7);
    assert_eq!(seen["output"], "agent agent x in one\n");
    assert_eq!(seen["active"]["ok"][0]["id"], "one");
    assert_eq!(seen["cleanup"]["ok"]["keep"][0]["name"], "frozen-one");
    assert_eq!(seen["halted"]["failure"]["kind"], "unsupported");
    assert_eq!(seen["exported"]["failure"]["kind"], "unsupported");
    assert_eq!(seen["closed"], json!({ "ok": null }));
    assert_eq!(seen["pause"]["failure"]["kind"], "unsupported");
}

#[test]
fn a_plugin_that_asks_for_the_spec_lives_in_a_host_of_1_0_too() {
    let host = Generation::new("one-dot-zero", &["driver"], ONE_DOT_ZERO).program("driver");
    let seen = drive_with(&host, build::fake());
    assert_eq!(seen["plan"]["ok"]["state"]["spec"]["id"], "one", "the glue keeps it where the host keeps it");
    assert_eq!(seen["launched"]["ok"]["name"], "fake-one");
    assert_eq!(seen["provisioned"]["ok"], json!({ "prompt_path": null }));
    assert_eq!(seen["active"]["ok"][0]["agent"], "dev");
    assert_eq!(seen["closed"], json!({ "ok": null }));
    // A host of 1.1 hands it over, and no plan grows by it.
    let dir = tempfile::tempdir().unwrap();
    let place = Place::with_fake();
    let backend = open(&place.load("fake").unwrap(), &Arc::default(), dir.path(), &[]).unwrap();
    assert_eq!(backend.prepare(&call(), &spec("one")).unwrap().state, json!({}));
}

#[test]
fn a_newer_plugin_works_in_a_newer_host() {
    let seen = drive(&ONE_DOT_TWO_WORLD.0);
    assert_eq!(seen["probe"]["ok"]["health"], "splendid");
    assert_eq!(seen["probe"]["ok"]["facts"][0]["value"], "sunny");
    assert_eq!(seen["plan"]["ok"]["shiny"], "a field of 1.1");
    assert_eq!(seen["plan"]["ok"]["state"]["read_only"], true);
    assert_eq!(seen["refused"]["ok"]["name"], "newer-one", "it knows the feature, so it does not refuse");
    assert_eq!(seen["provisioned"]["failure"]["kind"], "overheated");
    assert_eq!(seen["pause"]["ok"], json!({ "paused": "now" }));
}

#[test]
fn another_layout_under_the_same_version_is_refused_with_the_place() {
    let edits = [
        Edit {
            file: "src/abi/module.rs",
            from: "pub destroy: extern \"C\" fn(handle: u64),",
            to: "pub destroy: extern \"C\" fn(handle: u32),",
        },
        Edit {
            file: "src/abi/export.rs",
            from: "extern \"C\" fn destroy(handle: u64) {",
            to: "extern \"C\" fn destroy(handle: u32) {\n    let handle = u64::from(handle);",
        },
    ];
    let place = Place::new();
    let library = Generation::new("shifted", &["minimal"], &edits).library("claude-bottle-backend-minimal");
    fs::copy(library, place.file("minimal")).unwrap();
    let text = place.fails_to_load("minimal", "layout");
    assert_says(
        &text,
        &["its functions differ", "destroy", "rebuild the plug-in against claude-bottle-plugin-api 1"],
    );
    assert!(text.lines().count() < 8, "a report of {} lines", text.lines().count());
}

#[test]
fn another_major_version_of_the_contract_crate_is_refused() {
    let edits = [Edit { file: "Cargo.toml", from: "version = \"1.1.0\"", to: "version = \"2.0.0\"" }];
    let place = Place::new();
    let library = Generation::new("major", &["minimal"], &edits).library("claude-bottle-backend-minimal");
    fs::copy(library, place.file("minimal")).unwrap();
    // The note still says contract 1.1, so the pre-flight passes it.
    let text = place.fails_to_load("minimal", "api-version");
    assert_says(&text, &["plugin-api 2.0.0", "plugin-api 1.1.0"]);
}
