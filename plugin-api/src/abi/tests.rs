//! The glue, both sides of it in one process: what is refused before a backend sees it, and what crosses how.

#![cfg(feature = "host")]

use std::os::fd::RawFd;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::host::{CallHost, HostServices, Module, Opened};
use super::{Exported, MAX_PAYLOAD, export};
use crate::{
    ActiveBottle, AgentSpec, Backend, Bottle, Call, CleanupPlan, CleanupReport, CleanupScope, ConnectRequest,
    Connected, Context, EnvValue, EnvVar, Event, EventState, ExecRequest, ExitStatus, ExportRequest, Failure,
    FailureKind, LogLevel, LogRecord, Owner, Plan, Probe, Provisioned, Result, Secret, Spec, Subject,
};

/// A backend whose operation `service` asks the host, and whose others answer as much as they are told.
struct Echo;

impl Exported for Echo {
    const NAME: &'static str = "echo";
    const VERSION: &'static str = "1";
}

impl Backend for Echo {
    const FEATURES: &'static [&'static str] = &["known"];

    fn open(_context: Context) -> Result<Self> {
        Ok(Self)
    }
    fn probe(&self, call: &Call) -> Result<Probe> {
        call.event(&Event::new("s", EventState::Output).message("x".repeat(200_000)));
        Ok(Probe::usable())
    }
    /// Its state is an object, or the name of the bottle when it has one.
    fn prepare(&self, _call: &Call, spec: &Spec) -> Result<Plan> {
        match spec.bottle.name.as_str() {
            "" => Plan::new("echo", &json!({ "own": 1 })),
            name => Plan::new("echo", &name),
        }
    }
    fn launch(&self, _call: &Call, plan: &Plan) -> Result<Bottle> {
        Bottle::new(plan.name.clone(), &plan.spec()?.id)
    }
    fn provision(&self, _call: &Call, plan: &Plan, _bottle: &Bottle) -> Result<Provisioned> {
        Ok(Provisioned::with_prompt(Some(plan.spec()?.agent.name.clone())))
    }
    fn exec(&self, _call: &Call, _bottle: &Bottle, _request: &ExecRequest) -> Result<ExitStatus> {
        Ok(ExitStatus::code(0))
    }
    fn close(&self, _call: &Call, _bottle: &Bottle) -> Result<()> {
        Ok(())
    }
    fn prepare_cleanup(&self, _call: &Call, _scope: &CleanupScope) -> Result<CleanupPlan> {
        Ok(CleanupPlan::default())
    }
    fn cleanup(&self, _call: &Call, _plan: &CleanupPlan) -> Result<CleanupReport> {
        Ok(CleanupReport::default())
    }
    fn list_active(&self, _call: &Call) -> Result<Vec<ActiveBottle>> {
        Ok(Vec::new())
    }
    fn export(&self, _call: &Call, bottle: &Bottle, request: &ExportRequest) -> Result<crate::Exported> {
        let entries = u64::try_from(bottle.name.len() + request.paths.len()).unwrap();
        let exported = crate::Exported { entries, ..crate::Exported::default() };
        std::io::Write::write_all(&mut request.stream()?, b"archive")
            .map(|()| exported)
            .map_err(|error| Failure::new(FailureKind::Internal, "write").caused_by(&error))
    }
    fn connect(&self, _call: &Call, _bottle: &Bottle, request: &ConnectRequest) -> Result<Connected> {
        let mut stream = std::fs::File::from(request.stream()?);
        std::io::Write::write_all(&mut stream, request.port.to_string().as_bytes())
            .map(|()| Connected::cut())
            .map_err(|error| Failure::new(FailureKind::Internal, "write").caused_by(&error))
    }
    fn operation(&self, call: &Call, name: &str, payload: Value) -> Result<Value> {
        match name {
            "large" => Ok("x".repeat(MAX_PAYLOAD + 1).into()),
            "fail" => Err(Failure::new(FailureKind::Denied, "x".repeat(MAX_PAYLOAD + 1))),
            _ => call.service(name, &payload),
        }
    }
}

/// A host that offers the service `number`, which answers with the number of the caller.
#[derive(Default)]
struct Host {
    number: u64,
    events: Mutex<Vec<Event>>,
}

impl HostServices for Host {
    fn enabled(&self, _level: LogLevel) -> bool {
        false
    }
    fn log(&self, _record: LogRecord) {}
    fn owner_alive(&self, _owner: &Owner) -> Result<bool> {
        Ok(true)
    }
}

impl CallHost for Host {
    fn event(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }
    fn cancelled(&self) -> bool {
        false
    }
    fn cancel_fd(&self) -> RawFd {
        -1
    }
    fn secret(&self, name: &str) -> Result<Secret> {
        Err(Failure::new(FailureKind::NotFound, name))
    }
    fn service(&self, name: &str, payload: &Value) -> Result<Value> {
        match name {
            "number" => Ok(json!({ "number": self.number, "given": payload })),
            _ => Err(Failure::unsupported(name)),
        }
    }
}

fn open() -> Opened {
    Module(export::module::<Echo>()).open(Arc::new(Host::default()), &Context::default()).unwrap()
}

fn call(number: u64) -> Arc<dyn CallHost> {
    Arc::new(Host { number, ..Host::default() })
}

fn spec(value: Value) -> Spec {
    let mut spec = Spec::new("x-1", AgentSpec::new("x", Vec::new()), Owner::new("h", 1, 1));
    spec.bottle.env.push(EnvVar::secret("TOKEN"));
    let mut text = serde_json::to_value(&spec).unwrap();
    text["bottle"]["env"][0]["value"] = value;
    serde_json::from_value(text).unwrap()
}

#[test]
fn a_service_is_about_the_call_that_asks() {
    let backend = open();
    for number in [1, 2] {
        let answer = backend.operation(&call(number), "number", &json!({ "a": 1 })).unwrap();
        assert_eq!(answer, json!({ "number": number, "given": { "a": 1 } }));
    }
    assert_eq!(backend.operation(&call(3), "number", &Value::Null).unwrap()["given"], json!({}));
    let failure = backend.operation(&call(1), "number", &json!([1])).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Invalid);
    assert_eq!(
        backend.operation(&call(1), "other", &Value::Null).unwrap_err().kind,
        FailureKind::Unsupported
    );
}

#[test]
fn a_kind_of_variable_that_is_not_known_is_refused_and_what_is_required_is_looked_at_first() {
    let backend = open();
    let mut spec = spec(json!({ "kind": "from-1.7", "path": "/x" }));
    assert_eq!(spec.bottle.env[0].value, EnvValue::Unknown);
    let failure = backend.prepare(&call(1), &spec).unwrap_err();
    assert_eq!(
        (failure.kind, failure.subject.as_deref()),
        (FailureKind::Unsupported, Some(&Subject::Variable("TOKEN".to_owned())))
    );
    assert_eq!(failure.hints, ["update the backend's plug-in"]);
    spec.requires = vec!["known".to_owned(), "from-1.7".to_owned()];
    let failure = backend.prepare(&call(1), &spec).unwrap_err();
    assert_eq!(failure.subject.as_deref(), Some(&Subject::Feature("from-1.7".to_owned())));
}

#[test]
fn nothing_crosses_that_is_larger_than_the_contract_allows() {
    let backend = open();
    let mut spec = spec(json!({ "kind": "secret" }));
    spec.agent.prompt = "x".repeat(MAX_PAYLOAD);
    let failure = backend.prepare(&call(1), &spec).unwrap_err();
    assert!(failure.kind == FailureKind::Invalid && failure.message.contains("16777216"), "{failure}");
    let failure = backend.operation(&call(1), "large", &Value::Null).unwrap_err();
    assert!(failure.message.starts_with("the answer of `operation` has "), "{failure}");
    let failure = backend.operation(&call(1), "fail", &Value::Null).unwrap_err();
    assert!(failure.kind == FailureKind::Denied && failure.message.len() < 10_000);
    let host = Arc::new(Host::default());
    backend.probe(&(Arc::clone(&host) as Arc<dyn CallHost>)).unwrap();
    let events = host.events.lock().unwrap();
    assert!(events[0].message.as_ref().unwrap().ends_with("x…"), "{}", events.len());
}

#[test]
fn a_typed_operation_goes_to_its_method_and_one_without_a_body_is_not_offered() {
    let backend = open();
    let bottle = Bottle::new("four", &()).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&writer);
    let exported = backend.export(&call(1), &bottle, &ExportRequest::history(vec!["a".into()], fd)).unwrap();
    drop(writer);
    assert_eq!((exported.entries, std::io::read_to_string(reader).unwrap().as_str()), (5, "archive"));
    // `Echo` would send what is not its own to the host.
    let failure = backend.halt(&call(1), &bottle).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unsupported);
    assert_eq!(failure.message, "this backend does not offer `halt`");
    let failure = backend.keep(&call(1), &bottle).unwrap_err();
    assert_eq!(
        (failure.kind, failure.message.as_str()),
        (FailureKind::Unsupported, "this backend does not offer `keep`")
    );
    let failure = backend.reload(&call(1), &bottle, &crate::ReloadRequest::default()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unsupported);
    assert_eq!(failure.message, "this backend does not offer `reload`");
}

#[test]
fn an_export_of_a_part_that_is_not_known_is_refused_before_the_backend_sees_it() {
    let backend = open();
    let payload = json!({ "bottle": { "name": "b" }, "request": { "what": "from-1.7", "stream": -1 } });
    let failure = backend.operation(&call(1), "export", &payload).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unsupported, "{failure}");
    let failure = backend.operation(&call(1), "export", &json!({ "bottle": 1 })).unwrap_err();
    assert!(failure.kind == FailureKind::Invalid && failure.message == "cannot read what `export` was given");
    let failure = backend.export(&call(1), &Bottle::new("b", &()).unwrap(), &ExportRequest::workspace(-1));
    assert_eq!(failure.unwrap_err().kind, FailureKind::Invalid);
}

#[test]
fn a_connection_is_a_port_and_a_descriptor_that_is_borrowed() {
    let backend = open();
    let bottle = Bottle::new("b", &()).unwrap();
    let (here, there) = std::os::unix::net::UnixStream::pair().unwrap();
    let request = ConnectRequest::new(5173, std::os::fd::AsRawFd::as_raw_fd(&there));
    assert_eq!(backend.connect(&call(1), &bottle, &request).unwrap(), Connected::cut());
    // The duplicate is closed with the call, so that the end is seen once this side's own is.
    drop(there);
    assert_eq!(std::io::read_to_string(here).unwrap(), "5173");
    for (port, stream) in [(0, 1), (5173, -1)] {
        let failure = backend.connect(&call(1), &bottle, &ConnectRequest::new(port, stream)).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Invalid, "{failure}");
    }
}

#[test]
fn the_spec_comes_with_the_plan_to_launch_and_provision_and_is_in_no_state() {
    let backend = open();
    let spec = spec(json!({ "kind": "secret" }));
    let plan = backend.prepare(&call(1), &spec).unwrap();
    assert_eq!(plan.state, json!({ "own": 1 }));
    let bottle = backend.launch(&call(1), &spec, &plan).unwrap();
    assert_eq!(bottle.state, json!("x-1"));
    let provisioned = backend.provision(&call(1), &spec, &plan, &bottle).unwrap();
    assert_eq!(provisioned.prompt_path.as_deref(), Some("x"));
}

/// What a host of contract 1.0 does: it says no contract, and hands over a plan of the fields that it knows.
struct Older(super::module::ModuleRef, u64);

impl Older {
    fn open() -> Self {
        let module = export::module::<Echo>();
        let handle = module.create()(super::host::table(), 0, "{}".into()).into_result().unwrap();
        Self(module, handle)
    }

    fn plan(&self, spec: &Spec) -> Value {
        let answer = self.0.prepare()(self.1, 0, serde_json::to_string(spec).unwrap().as_str().into());
        let mut plan: Value = serde_json::from_str(&answer.into_result().unwrap()).unwrap();
        let fields = plan.as_object_mut().unwrap();
        fields.retain(|field, _| {
            ["name", "image", "runtime", "facts", "limitations", "state"].contains(&field.as_str())
        });
        plan
    }

    fn launch(&self, plan: &Value) -> Result<Value> {
        let answer = self.0.launch()(self.1, 0, plan.to_string().as_str().into()).into_result();
        answer
            .map(|text| serde_json::from_str(&text).unwrap())
            .map_err(|text| serde_json::from_str(&text).unwrap())
    }
}

#[test]
fn under_a_host_of_1_0_the_spec_is_kept_in_the_plans_state_where_that_can_hold_it() {
    let older = Older::open();
    let mut spec = spec(json!({ "kind": "secret" }));
    let plan = older.plan(&spec);
    assert_eq!(plan["state"]["own"], 1);
    assert_eq!(older.launch(&plan).unwrap()["state"], "x-1");
    // A state that is not an object has no room for it, and the failure says what to do.
    spec.bottle.name = "box".to_owned();
    let failure = older.launch(&older.plan(&spec)).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Invalid);
    assert_eq!(failure.message, "the run's spec did not come with the plan");
    assert_eq!(failure.hints, ["update claude-bottle"]);
}
