//! A backend that misbehaves in each verb: the host gets a failure that says who and where, and stays up.

use std::sync::Arc;

use claude_bottle_plugin_api::abi::host::{CallHost, Opened};
use claude_bottle_plugin_api::{
    CleanupPlan, CleanupScope, EnvVar, ExecRequest, ExecRole, Failure, FailureKind, LogLevel, Plan, Result,
};

use crate::support::double::{Caller, Host, call, open, spec};
use crate::support::{Place, assert_says};

const VERBS: [&str; 9] =
    ["probe", "prepare", "launch", "provision", "exec", "close", "prepare_cleanup", "cleanup", "list_active"];

/// Runs one verb after what comes before it, on another instance that behaves.
fn run(verb: &str, good: &Opened, bad: &Opened) -> Result<()> {
    let spec = spec("one");
    let plan = good.prepare(&call(), &spec)?;
    let bottle = || good.launch(&call(), &spec, &plan);
    let request = ExecRequest::new(vec!["true".to_owned()], ExecRole::Command);
    match verb {
        "probe" => bad.probe(&call()).map(drop),
        "prepare" => bad.prepare(&call(), &spec).map(drop),
        "launch" => bad.launch(&call(), &spec, &plan).map(drop),
        "provision" => bad.provision(&call(), &spec, &plan, &bottle()?).map(drop),
        "exec" => bad.exec(&call(), &bottle()?, &request).map(drop),
        "close" => bad.close(&call(), &bottle()?),
        "prepare_cleanup" => bad.prepare_cleanup(&call(), &CleanupScope::new(true)).map(drop),
        "cleanup" => bad.cleanup(&call(), &CleanupPlan::default()).map(drop),
        _ => bad.list_active(&call()).map(drop),
    }
}

fn failure_of(fault: &str, verb: &str, host: &Arc<Host>) -> Failure {
    let loaded = Place::with_fake().load("fake").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let bad_dir = dir.path().to_owned();
    let good = open(&loaded, &Arc::default(), dir.path(), &[]).unwrap();
    run(verb, &good, &good).unwrap();
    // The verb worked once; what is left of that must not decide about the second time.
    let dir = tempfile::tempdir().unwrap();
    let good = open(&loaded, &Arc::default(), dir.path(), &[]).unwrap();
    // Opened last, since the newest backend of a library has its log.
    let bad = open(&loaded, host, &bad_dir, &[("FAKE_FAULT", &format!("{fault}:{verb}"))]).unwrap();
    let failure = run(verb, &good, &bad).unwrap_err();
    // The library is as usable as before.
    good.probe(&call()).unwrap();
    failure
}

#[test]
fn a_panic_in_any_verb_is_a_failure_that_names_backend_and_verb() {
    for verb in VERBS {
        let host = Arc::new(Host::default());
        let failure = failure_of("panic", verb, &host);
        assert_eq!(failure.kind, FailureKind::Panic, "{verb}");
        assert_eq!(failure.message, format!("backend `fake` panicked in `{verb}`"));
        assert_says(&failure.causes[0], &["a fault was asked for", verb, "fault.rs:"]);
        let records = host.records.lock().unwrap();
        let logged = records.iter().find(|record| record.message.starts_with("panic: ")).unwrap();
        // The failure tells of it; the record is for who looks closer.
        assert_eq!(logged.level, LogLevel::Debug);
    }
}

#[test]
fn an_error_in_any_verb_arrives_with_its_kind_and_text() {
    for verb in VERBS {
        let failure = failure_of("error", verb, &Arc::default());
        assert_eq!(failure.kind, FailureKind::Internal, "{verb}");
        assert_says(&failure.message, &["a fault was asked for", verb]);
    }
}

#[test]
fn a_setting_that_makes_no_sense_refuses_to_open() {
    let loaded = Place::with_fake().load("fake").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let failure = open(&loaded, &Arc::default(), dir.path(), &[("FAKE_FAULT", "nonsense")]).err().unwrap();
    assert_eq!(failure.kind, FailureKind::Invalid);
    assert_says(&failure.hints[0], &["panic:VERB"]);
}

#[test]
fn records_arrive_with_level_target_and_fields() {
    let loaded = Place::with_fake().load("fake").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let host = Arc::new(Host::default());
    let backend = open(&loaded, &host, dir.path(), &[]).unwrap();
    backend.probe(&call()).unwrap();
    let records = host.records.lock().unwrap();
    let record = records.iter().find(|record| record.message == "enter").unwrap();
    assert_eq!(
        (record.level, record.target.as_str()),
        (LogLevel::Debug, "claude_bottle_backend_fake::backend")
    );
    assert_eq!(record.fields["verb"], "probe");
}

#[test]
fn a_step_that_fails_is_reported_as_failed() {
    use claude_bottle_plugin_api::EventState::{Failed, Started};

    let loaded = Place::with_fake().load("fake").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let backend = open(&loaded, &Arc::default(), dir.path(), &[("FAKE_FAULT", "panic:launch")]).unwrap();
    let spec = spec("one");
    let plan: Plan = backend.prepare(&call(), &spec).unwrap();
    let caller = Arc::new(Caller::default());
    backend.launch(&(Arc::clone(&caller) as Arc<dyn CallHost>), &spec, &plan).unwrap_err();
    let states: Vec<_> = caller.events.lock().unwrap().iter().map(|event| event.state).collect();
    assert_eq!(states, [Started, Failed]);
}

#[test]
fn secrets_come_by_their_own_way_and_are_in_no_document() {
    const CANARY: &str = "canary-5d1f0a";
    let loaded = Place::with_fake().load("fake").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let host = Arc::new(Host::default());
    let backend = open(&loaded, &host, dir.path(), &[]).unwrap();
    let mut spec = spec("one");
    spec.bottle.env = vec![EnvVar::secret("TOKEN")];
    let plan = backend.prepare(&call(), &spec).unwrap();
    let bottle = backend.launch(&call(), &spec, &plan).unwrap();
    let caller = Arc::new(Caller::with_secret("TOKEN", CANARY));
    backend.provision(&(Arc::clone(&caller) as Arc<dyn CallHost>), &spec, &plan, &bottle).unwrap();
    assert_eq!(*caller.asked.lock().unwrap(), ["TOKEN"]);

    let missing = backend.provision(&call(), &spec, &plan, &bottle).unwrap_err();
    assert_eq!(missing.kind, FailureKind::NotFound);
    let documents = serde_json::to_string(&(&spec, &plan, &bottle, &*host.records.lock().unwrap())).unwrap();
    assert!(!documents.contains(CANARY));
}

#[test]
fn a_plugins_thread_may_outlive_its_call_and_its_backend() {
    let loaded = Place::with_fake().load("fake").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let gone = Arc::new(Host::default());
    drop(open(&loaded, &gone, dir.path(), &[]).unwrap());
    let before = gone.records.lock().unwrap().len();
    // The host of an instance that is gone hears nothing more, and the newest one's hears all.
    let host = Arc::new(Host::default());
    let backend = open(&loaded, &host, dir.path(), &[]).unwrap();
    backend.probe(&call()).unwrap();
    assert_eq!(gone.records.lock().unwrap().len(), before);
    assert!(!host.records.lock().unwrap().is_empty());
}
