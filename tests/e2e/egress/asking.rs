//! Hosts that are asked about while an agent waits: a request that no rule allows, and the command `bottle` inside.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::session::Session;
use super::unaware::pages;
use super::{decisions, home};
use crate::support::backend::{Backend, on_a_cluster, on_each_backend_and_podman};
use crate::support::home::Home;
use crate::support::screen::Screen;
use crate::support::{assert_code, run, stdout};

on_each_backend_and_podman!(
    a_refused_host_waits_and_is_answered_in_watch_or_by_a_command_or_not_at_all,
    an_agent_asks_for_a_host_with_its_reason_and_gives_it_back,
    where_nothing_is_asked_the_command_says_so_at_once,
);
on_a_cluster!(
    an_agent_asks_for_a_host_with_its_reason_and_gives_it_back,
    where_nothing_is_asked_the_command_says_so_at_once,
);

/// How long a question may take to be told.
const PATIENCE: Duration = Duration::from_secs(60);

/// A home whose bottle knows addresses of these names, and allows none of them.
fn knowing(agent: &str, page: SocketAddr, names: &[&str], more: &str) -> Home {
    let ip = page.ip();
    let hosts: Vec<_> = names.iter().map(|name| format!("{name}: {ip}")).collect();
    let private: Vec<_> = names.iter().map(|name| format!("{{ host: {name}, range: {ip}/32 }}")).collect();
    let (hosts, private) = (hosts.join(", "), private.join(", "));
    home(
        &[agent],
        &format!("      allowlist: []\n      hosts: {{ {hosts} }}\n      private: [{private}]\n{more}"),
    )
}

/// Begins something inside whose exit code and words are had by `end`.
fn begin(inside: &mut Session, name: &str, command: &str) {
    inside.ok(&format!(
        "mkfifo /tmp/{name}.over; ( {command} >/tmp/{name} 2>&1; echo $? >/tmp/{name}.over ) >/dev/null 2>&1 &"
    ));
}

fn end(inside: &mut Session, name: &str) -> (String, String) {
    let code = inside.ok(&format!("timeout 110 cat /tmp/{name}.over"));
    (code.trim().to_owned(), inside.ok(&format!("cat /tmp/{name}")))
}

/// Waits until the bottle waits for an answer about this place.
fn asked(backend: Backend, home: &Home, agent: &str, place: &str) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let output = run(&mut backend.command(home, &["policy", "asked", agent, "--format", "json"]));
        assert_code(&output, 0);
        let questions: Vec<Value> = serde_json::from_str(&stdout(&output)).unwrap();
        if let Some(question) = questions.iter().find(|question| question["place"] == place) {
            return question.clone();
        }
        assert!(Instant::now() < deadline, "nothing waits for {place}: {questions:?}");
    }
}

#[track_caller]
fn policy(backend: Backend, home: &Home, words: &[&str], code: i32) -> String {
    let output = run(&mut backend.command(home, &[&["policy"], words].concat()));
    assert_code(&output, code);
    stdout(&output)
}

fn a_refused_host_waits_and_is_answered_in_watch_or_by_a_command_or_not_at_all(backend: Backend) {
    let agent = &format!("e2e-waits-{}", backend.name());
    let page = pages(backend.host_address());
    let port = page.port();
    let home = knowing(agent, page, &["key.test", "word.test", "late.test", "bare.test"], "");
    let start = backend.command(&home, &["start", agent, "--yes", "--ask-hosts"]);
    let mut inside = Session::start_by(start, &home, agent);
    let curl = |name: &str| format!("curl -sS -f -m 100 http://{name}.test:{port}/");
    inside.ok("true");
    let mut watch = Screen::start(&backend.command(&home, &["watch", agent]), 80, 24);
    watch.wait_for("what the bottle takes of the machine", |screen| {
        let is_known = |line: &str| line.contains(" running ") && line.contains("% ") && line.contains("M ");
        screen.contents().lines().any(is_known)
    });

    // By a key: the one that waits longest is chosen until another one is.
    let began = Instant::now();
    for name in ["late", "key"] {
        begin(&mut inside, name, &curl(name));
        watch.wait_for_text(&format!("{name}.test:{port}"));
    }
    watch.type_keys("\tj");
    watch.wait_for("the question to be chosen", |screen| {
        screen.contents().lines().any(|line| line.starts_with('>') && line.contains("key.test"))
    });
    watch.type_keys("a");
    watch.wait_for_text(&format!("may reach key.test:{port}"));
    assert_eq!(end(&mut inside, "key"), ("0".to_owned(), "page".to_owned()));
    // By commands, and for a client that knows no proxy.
    begin(&mut inside, "word", &curl("word"));
    begin(
        &mut inside,
        "bare",
        &format!("env -i PATH=\"$PATH\" {}", curl("bare").replace(&format!(":{port}"), "")),
    );
    asked(backend, &home, agent, &format!("word.test:{port}"));
    policy(backend, &home, &["allow", agent, &format!("word.test:{port}")], 0);
    assert_eq!(end(&mut inside, "word"), ("0".to_owned(), "page".to_owned()));
    asked(backend, &home, agent, "bare.test:80");
    policy(backend, &home, &["deny", agent, "bare.test"], 0);
    let (code, said) = end(&mut inside, "bare");
    assert_eq!((code.as_str(), said.contains("403")), ("22", true), "{said}");
    // Without an answer.
    let (code, said) = end(&mut inside, "late");
    assert_eq!((code.as_str(), said.contains("403")), ("22", true), "{said}");
    assert!(began.elapsed() >= Duration::from_secs(59), "{:?}", began.elapsed());
    watch.wait_for_text("nothing waits");
    watch.type_keys("q");
    assert_eq!(watch.wait_for_settings().0, 0);
    inside.end();

    let log = decisions(&home);
    let answers: Vec<_> = log.iter().filter(|line| line["event"] == "answer").collect();
    let of = |host: &str| answers.iter().find(|line| line["host"] == host).map(|line| &line["verdict"]);
    for (host, verdict) in
        [("key.test", "allow"), ("word.test", "allow"), ("bare.test", "deny"), ("late.test", "deny")]
    {
        assert_eq!(of(host), Some(&verdict.into()), "{host} in {answers:?}");
    }
    let late = log.iter().find(|line| line["host"] == "late.test" && line["event"] == "request").unwrap();
    assert!(late["reason"].as_str().unwrap().ends_with("no answer came within 60 s"), "{late}");
    backend.assert_nothing_left(&home, agent);
}

fn an_agent_asks_for_a_host_with_its_reason_and_gives_it_back(backend: Backend) {
    let agent = &format!("e2e-asks-{}", backend.name());
    let page = pages(backend.host_address());
    let place = format!("page.test:{}", page.port());
    let home = knowing(agent, page, &["page.test"], "      ask: true\n");
    let mut inside = Session::start_by(backend.command(&home, &["start", agent, "--yes"]), &home, agent);
    let reach = inside.ok("bottle policy");
    assert!(reach.contains("who has 60 s: bottle ask HOST") && !reach.contains("page.test"), "{reach}");

    begin(&mut inside, "ask", &format!("bottle ask {place} --why 'to fetch \u{202e}the page'"));
    let question = asked(backend, &home, agent, &place);
    assert_eq!(question["why"], r"to fetch \u{202e}the page", "{question}");
    let mut watch = Screen::start(&backend.command(&home, &["watch"]), 80, 24);
    let said = format!("asks for {place}: \"to fetch \\u{{202e}}the page\"");
    watch.wait_for(&said, |screen| {
        // It takes several lines of the screen.
        screen.contents().split_whitespace().collect::<Vec<_>>().join(" ").contains(&said)
    });
    watch.type_keys("a");
    watch.wait_for_text(&format!("may reach {place}"));
    watch.type_keys("q");
    assert_eq!(watch.wait().0, 0);
    let (code, said) = end(&mut inside, "ask");
    assert_eq!((code.as_str(), said.contains(&format!("{place} may be reached"))), ("0", true), "{said}");
    let curl = format!("curl -sS -f -m 100 http://{place}/");
    assert_eq!(inside.ok(&curl), "page");
    let reach = inside.ok("bottle policy");
    assert!(reach.contains(&format!("{place}  (allowed while this bottle runs)")), "{reach}");

    // What was given is given back, and what is said of it outside is what counts.
    assert_eq!(inside.ok("bottle give-back page.test"), format!("given back: {place}"));
    assert!(inside.fails("bottle give-back page.test").contains("nothing was allowed"));
    policy(backend, &home, &["check", agent, &place], 1);
    let shown = policy(backend, &home, &["show", agent], 0);
    assert!(shown.contains(&format!("the agent gave back `{place}`")), "{shown}");
    policy(backend, &home, &["allow", agent, &place], 0);
    assert_eq!(inside.ok(&curl), "page");

    // Refused on purpose, and once that is said, at once.
    begin(&mut inside, "no", "bottle ask other.test --why x");
    asked(backend, &home, agent, "other.test:443");
    policy(backend, &home, &["deny", agent, "other.test"], 0);
    assert_eq!(end(&mut inside, "no").0, "1");
    let said = inside.run("bottle ask other.test --why 'once more'");
    assert_eq!((said.code, said.text.contains("do not ask again")), (1, true), "{said:?}");
    assert_eq!(inside.run("bottle ask https://x/ --why x").code, 2);
    // By any way in: the command is the guest program, and does nothing that the agent could not.
    let by_its_path = "for own in /run/claude-bottle*/bin/bottle /run/claude-bottle*/*/bin/bottle; do \
        [ ! -e $own ] || exec -a bottle $(readlink -f $own) policy >/dev/null; done; exit 9";
    assert_eq!(inside.run(&format!("env -i bash -c '{by_its_path}'")).code, 0);
    inside.end();
    let log = decisions(&home);
    let told = log.iter().find(|line| line["event"] == "ask" && line["host"] == "page.test").unwrap();
    assert_eq!((&told["method"], &told["why"]), (&"ASK".into(), &r"to fetch \u{202e}the page".into()));
    backend.assert_nothing_left(&home, agent);
}

fn where_nothing_is_asked_the_command_says_so_at_once(backend: Backend) {
    let agent = &format!("e2e-asks-not-{}", backend.name());
    let home = home(&[agent], "      allowlist: [ok.test, 'deny evil.test']\n");
    let mut inside = Session::start_by(backend.command(&home, &["start", agent, "--yes"]), &home, agent);
    let reach = inside.ok("bottle policy");
    assert!(reach.contains("  ok.test\n") && reach.contains("  evil.test\n"), "{reach}");
    assert!(reach.contains("does not ask"), "{reach}");
    let said = inside.run("bottle ask new.test --why 'to see'");
    assert_eq!((said.code, said.text.contains("does not ask")), (4, true), "{said:?}");
    assert_eq!(inside.run("bottle ask ok.test --why x").code, 0);
    // A refusal leads there.
    let hint = inside.ok("curl -sS http://new.test/ -x \"$http_proxy\"");
    assert!(hint.contains("bottle ask HOST --why TEXT"), "{hint}");
    inside.end();
    let log = decisions(&home);
    let line = log.iter().find(|line| line["method"] == "ASK" && line["host"] == "new.test").unwrap();
    assert_eq!((&line["verdict"], &line["why"]), (&"deny".into(), &"to see".into()));
    backend.assert_nothing_left(&home, agent);
}
