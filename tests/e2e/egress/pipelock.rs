//! pipelock in the guard's place: a stand-in image with its interface lives as a sidecar; the real one is a test by hand.
//!
//! The stand-in (`tests/standin/pipelock`) has pipelock's entry point, arguments, configuration file, port, health check and log
//! lines. What passes here is the backend's part. Nothing is said about pipelock's own.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_yaml::Value;

use super::following::{Following, times};
use super::home;
use super::session::Session;
use crate::support::engine::{self, docker};
use crate::support::home::Home;
use crate::support::{assert_code, run, stderr, stdout};

/// Where the backend says that the configuration is.
const CONFIG: &str = "/etc/pipelock/pipelock.yaml";
/// The pinned image, 2.3.0, as the backend names it.
const PINNED: &str = "ghcr.io/luckypipewrench/pipelock@sha256:3b1a39417b98406ddc5dc2d8fcb42865ddc0c68a43d355db55f0f8cb06bc6de9";
/// What the host writes for a bottle with everything in it; the host's own tests compare it.
const GOLDEN: &str = "host/src/egress/pipelock/golden.yaml";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Returns an image of the stand-in with this entry point, made once for each content.
fn image(entrypoint: &str) -> String {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let program = PROGRAM.get_or_init(build);
    let sum = stdout(&run(Command::new("sha256sum").arg(program)));
    let kind = if entrypoint.contains("broken") { "broken" } else { "works" };
    let tag = format!("claude-bottle-pipelock-standin:{kind}-{}", &sum[..16]);
    if run(Command::new("docker").args(["image", "inspect", &tag])).status.success() {
        return tag;
    }
    let mut tar = Command::new("tar");
    tar.args(["--create", "--owner=0", "--group=0", "--transform", "s/.*/pipelock/", "--directory"]);
    tar.arg(program.parent().unwrap()).arg(program.file_name().unwrap()).stdout(Stdio::piped());
    let mut tar = tar.spawn().unwrap();
    let mut import = Command::new("docker");
    import.arg("import");
    let entrypoint = format!("ENTRYPOINT {entrypoint}");
    for change in [&entrypoint, r#"CMD ["run","--listen","0.0.0.0:8888"]"#, "EXPOSE 8888"] {
        import.args(["--change", change]);
    }
    let made = run(import.args(["-", &tag]).stdin(tar.stdout.take().unwrap()));
    assert!(tar.wait().unwrap().success() && made.status.success(), "{}", stderr(&made));
    tag
}

/// Builds the stand-in as a static program, since its image holds nothing else.
fn build() -> PathBuf {
    let (root, target) = (root(), format!("{}-unknown-linux-gnu", std::env::consts::ARCH));
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--package", "claude-bottle-pipelock-standin", "--target", &target]);
    cargo.arg("--target-dir").arg(root.join("target")).current_dir(&root);
    let built = run(cargo.env("RUSTFLAGS", "-C target-feature=+crt-static"));
    assert!(built.status.success(), "{}", stderr(&built));
    root.join("target").join(target).join("debug/pipelock-standin")
}

fn start(home: &Home, agent: &str, image: &str) -> Command {
    let mut command = home.command(&["start", agent, "--yes"]);
    command.env("CLAUDE_BOTTLE_PIPELOCK_IMAGE", image);
    command
}

/// Answers every connection with the same words; returns the address to ask.
fn upstream() -> String {
    let listener = TcpListener::bind((engine::bridge_address(), 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut head = BufReader::new(&stream).lines().map_while(Result::ok);
            head.find(String::is_empty);
            (&stream)
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
                .ok();
        }
    });
    address
}

fn keys(document: &Value) -> BTreeSet<&str> {
    document.as_mapping().unwrap().keys().map(|key| key.as_str().unwrap()).collect()
}

/// Reads the configuration out of the sidecar, as the engine has it there.
fn config_in(sidecar: &str) -> Value {
    let mut copy = Command::new("docker");
    let mut copy =
        copy.args(["cp", &format!("{sidecar}:{CONFIG}"), "-"]).stdout(Stdio::piped()).spawn().unwrap();
    let text = run(Command::new("tar").args(["--extract", "--to-stdout"]).stdin(copy.stdout.take().unwrap()));
    assert!(copy.wait().unwrap().success());
    serde_yaml::from_str(&stdout(&text)).unwrap()
}

#[test]
fn a_standin_for_pipelock_is_started_asked_and_removed() {
    let (agent, upstream) = ("e2e-pipelock", upstream());
    let (sidecar, host) = (format!("claude-bottle-pipelock-{agent}"), upstream.rsplit_once(':').unwrap().0);
    let home = home(&[agent], &format!("      proxy: pipelock\n      allowlist: ['{host}']\n"));
    let mut inside = Session::start_by(start(&home, agent, &image(r#"["/pipelock"]"#)), &home, agent);
    let status = |inside: &mut Session, url: &str| {
        inside.ok(&format!("curl -s -o /tmp/body -w '%{{http_code}}' {url}"))
    };
    assert_eq!(inside.ok(&format!("curl -sS http://{upstream}/")), "hello");
    assert_eq!(inside.ok(&format!("curl -sS --proxytunnel http://{upstream}/")), "hello");
    assert_eq!(status(&mut inside, "http://refused.test/"), "403");
    assert_eq!(inside.ok("cat /tmp/body"), "blocked: domain not in allowlist: refused.test");
    assert!(inside.fails("curl -sS https://refused.test/").contains("403"), "the tunnel is refused");
    inside.fails(&format!("curl -sS -m 5 --noproxy '*' http://{upstream}/"));

    let document = config_in(&sidecar);
    let expected = ["version", "mode", "enforce", "api_allowlist", "forward_proxy", "dlp"];
    assert_eq!(keys(&document), expected.into());
    assert!(document["api_allowlist"].as_sequence().unwrap().contains(&host.into()), "{document:?}");
    let format = "{{.Path}} {{json .Args}} {{.Config.User}} {{.HostConfig.ReadonlyRootfs}} {{json .HostConfig.CapDrop}}";
    assert_eq!(
        docker(&["inspect", &sidecar, "--format", format]).trim(),
        format!(
            r#"/pipelock ["run","--listen","0.0.0.0:8888","--config","{CONFIG}"] 65534:65534 true ["ALL"]"#
        )
    );
    docker(&["exec", &sidecar, "/pipelock", "healthcheck"]);

    // Its configuration is a file, so it comes up again, and so does the copy of what it decides.
    let mut following = Following::start(&home, agent);
    following.wait_for("refused.test");
    docker(&["restart", "--time", "2", &sidecar]);
    inside.ok("until curl -s -o /tmp/body http://later.test/; do sleep 0.05; done");
    following.wait_for("later.test");
    inside.end();
    let lines = following.end();
    assert_eq!(engine::resources_of(agent), Vec::<String>::new());
    assert_eq!((times(&lines, "refused.test"), times(&lines, "later.test")), (2, 1), "{lines:#?}");
    check_records(&lines, host);
    let said = std::fs::read_to_string(home.path().join(format!("{agent}.stderr"))).unwrap();
    for part in
        ["3 requests blocked", "refused.test:80", "not_in_allowlist", "to allow later.test, refused.test"]
    {
        assert!(said.contains(part), "no `{part}` in:\n{said}");
    }
}

/// Fails unless the lines are decisions in the guard's form, or pipelock's own lines which are none.
fn check_records(lines: &[String], host: &str) {
    let (mut shown, mut other) = (Vec::new(), BTreeSet::new());
    for line in lines {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        match line["verdict"].as_str() {
            Some(verdict) => shown.push(format!(
                "{} {} {} {verdict} {}",
                line["event"].as_str().unwrap(),
                line["method"].as_str().unwrap(),
                line["host"].as_str().unwrap(),
                line["code"].as_str().unwrap()
            )),
            None => drop(other.insert(line["event"].as_str().unwrap().to_owned())),
        }
    }
    for expected in [
        format!("request GET {host} allow allowed"),
        format!("request CONNECT {host} allow allowed"),
        format!("close CONNECT {host} allow allowed"),
        "request GET refused.test deny not_in_allowlist".to_owned(),
        "request CONNECT refused.test deny not_in_allowlist".to_owned(),
    ] {
        assert!(shown.contains(&expected), "no `{expected}` in {shown:#?}");
    }
    assert_eq!(other, BTreeSet::from(["startup".to_owned(), "shutdown".to_owned()]));
}

#[test]
fn a_standin_for_pipelock_that_dies_is_quoted_and_leaves_nothing() {
    let agent = "e2e-pipelock-dies";
    let home = home(&[agent], "      proxy: pipelock\n");
    let output = run(&mut start(&home, agent, &image(r#"["/pipelock","broken"]"#)));
    assert_code(&output, 125);
    let said = stderr(&output);
    for part in ["the sidecar", "ended at once, with exit code 3", "Error: stand-in: told to break"] {
        assert!(said.contains(part), "no `{part}` in:\n{said}");
    }
    assert_eq!(engine::resources_of(agent), Vec::<String>::new());
    assert_eq!(home.left_in_tmp(), Vec::<String>::new());
}

/// Pulls the pinned image and asks it itself: `docs/testing.md` says how to run it.
#[test]
#[ignore = "pulls pipelock's image: CLAUDE_BOTTLE_TEST_PIPELOCK=1 cargo test -p claude-bottle --test e2e -- --ignored pipelock"]
fn the_pinned_pipelock_accepts_what_is_written() {
    let wanted = std::env::var("CLAUDE_BOTTLE_TEST_PIPELOCK").is_ok_and(|value| value == "1");
    assert!(wanted, "nothing was proved: set CLAUDE_BOTTLE_TEST_PIPELOCK=1 to let this test pull {PINNED}");
    docker(&["pull", "--quiet", PINNED]);
    let format = "{{json .Config.Entrypoint}} {{json .Config.Cmd}} {{json .Config.ExposedPorts}}";
    let expected = r#"["/pipelock"] ["run","--listen","0.0.0.0:8888"] {"8888/tcp":{}}"#;
    assert_eq!(docker(&["image", "inspect", PINNED, "--format", format]).trim(), expected);
    let version = run(Command::new("docker").args(["run", "--rm", "--network", "none", PINNED, "version"]));
    assert!(version.status.success() && stdout(&version).contains("2.3.0"), "{version:?}");

    let golden = root().join(GOLDEN);
    let check = |path: &Path| {
        let mount = format!("{}:{CONFIG}:ro", path.display());
        let mut command = Command::new("docker");
        command.args(["run", "--rm", "--network", "none", "--user", "65534:65534", "--volume", &mount]);
        run(command.args([PINNED, "check", "--config", CONFIG]))
    };
    let accepted = check(&golden);
    assert!(accepted.status.success(), "{accepted:?}");
    // The control: its check is strict.
    let home = Home::new("");
    let wrong = home.path().join("wrong.yaml");
    std::fs::write(&wrong, std::fs::read_to_string(&golden).unwrap() + "unknown_key: 1\n").unwrap();
    assert!(!check(&wrong).status.success(), "pipelock took an unknown key");
}
