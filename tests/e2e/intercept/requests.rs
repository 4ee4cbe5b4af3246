//! Rules with methods and paths, end to end: a forge that may be read from and not pushed to.

use super::above::{Above, Bottle};
use crate::egress::decisions;
use crate::egress::fixture::Fixture;
use crate::egress::session::Session;
use crate::support::backend::{Backend, on_each_backend};
use crate::support::{assert_code, run, stderr, stdout};

on_each_backend!(a_forge_may_be_read_from_and_not_pushed_to);

const FORGE: &str = "git.fixture.test";

fn a_forge_may_be_read_from_and_not_pushed_to(backend: Backend) {
    let agent = &format!("e2e-forge-{}", backend.name());
    let script = include_str!("../egress/git-server.sh");
    let server = Fixture::on_the_host(&["sh", "-c", script, "sh", "127.0.0.1", FORGE]);
    let port: u16 = server.line().parse().unwrap();
    let mut certificate = server.lines_to("ready");
    certificate.pop();
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), certificate.join("\n")).unwrap();
    let above = Above::default().route(FORGE, ([127, 0, 0, 1], port).into()).serve(backend.host_address());
    let rules = format!("{FORGE}, 'deny POST {FORGE}/**/git-receive-pack', plain.fixture.test");
    let home = Bottle::new(above, &[ca.path()], &rules).egress("intercept: needed").home(&[agent]);

    let plan = run(&mut backend.command(&home, &["start", agent, "--dry-run"]));
    assert_code(&plan, 0);
    let row = format!("opened and inspected under this bottle's own authority: that of {FORGE}\n");
    let shown = stdout(&plan) + &stderr(&plan);
    assert!(shown.contains(&row), "{shown}");
    let plan = run(&mut backend.command(&home, &["start", agent, "--dry-run", "--format", "json"]));
    let plan: serde_json::Value = serde_json::from_slice(&plan.stdout).unwrap();
    let expected = serde_json::json!({ "mode": "needed", "opened": [FORGE], "passthrough": [] });
    assert_eq!(plan["egress"]["intercept"], expected);

    let mut inside =
        Session::start_by(backend.command(&home, &["--quiet", "start", agent, "--yes"]), &home, agent);
    let git = "git -c user.name=Agent -c user.email=agent@example.test";
    let said = inside
        .ok(&format!("{git} clone -q https://{FORGE}/project.git /tmp/project && cat /tmp/project/file.txt"));
    assert_eq!(said, "from the fixture");
    inside.ok(&format!("cd /tmp/project && echo x > new && git add new && {git} commit -qm 'add a file'"));
    let said = inside.fails(&format!("cd /tmp/project && {git} push -q origin main"));
    assert!(said.contains("403"), "{said}");
    inside.ok(&format!(
        "{git} ls-remote https://{FORGE}/project.git | grep -q $(git -C /tmp/project rev-parse origin/main)"
    ));
    // A bottle whose HTTPS is looked into may be allowed further hosts, which stay unopened.
    let allowed = run(&mut backend.command(&home, &["policy", "allow", agent, "further.fixture.test"]));
    assert_code(&allowed, 0);
    let asked = run(&mut backend.command(
        &home,
        &["policy", "check", agent, &format!("https://{FORGE}/a/git-receive-pack"), "--method", "POST"],
    ));
    assert_code(&asked, 1);
    assert!(stdout(&asked).contains("deny POST"), "{}", stdout(&asked));
    for (host, https) in [(FORGE, "https: opened"), ("further.fixture.test", "https: unopened")] {
        let asked = run(&mut backend.command(&home, &["policy", "check", agent, host]));
        assert_code(&asked, 0);
        assert!(stdout(&asked).contains(https), "{}", stdout(&asked));
    }
    inside.end();
    let log = decisions(&home);
    let refused =
        log.iter().find(|line| line["code"] == "denied_by_rule").expect("the refusal is in the log");
    assert_eq!((&refused["host"], &refused["method"]), (&FORGE.into(), &"POST".into()));
    backend.assert_nothing_left(&home, agent);
}
