//! Which clients trust a bottle's own authority, with the bottle's variables and without any; and who else does not.
//!
//! A request that has arrived proves it: a client that distrusts ends its handshake, and what it says differs.

use claude_bottle_standin::{Script, Standin};

use super::above::{Above, Bottle};
use super::secure_standin;
use crate::egress::session::Session;
use crate::support::backend::{Backend, on_each_backend_and_podman};
use crate::support::home::Home;

on_each_backend_and_podman!(
    clients_trust_the_bottles_authority_by_file_and_by_variable,
    another_bottles_authority_is_not_trusted_and_no_trust_file_can_be_written,
);

/// A host that is opened, and one that is not.
pub(super) const OPENED: &str = "opened.fixture.test";
pub(super) const UNOPENED: &str = "unopened.fixture.test";

/// A client: its name, its command with a URL in the place of `URL`, and whether it trusts without any variable, where that is not
/// up to the machine's own configuration of it.
pub(super) type Client = (&'static str, &'static str, Option<bool>);

const EVERYWHERE: [Client; 4] = [
    ("curl", "curl -sS -o /dev/null URL", Some(true)),
    ("git", "git ls-remote URL", Some(true)),
    ("node", "node -e 'require(\"https\").get(process.argv[1], () => process.exit(0))' URL", Some(false)),
    ("npm", "npm --cache /tmp/npm --fetch-retries 0 view x --registry URL", None),
];

/// What the machine itself has, which a bottle on bubblewrap runs.
const OF_THE_MACHINE: [Client; 4] = [
    ("wget", "wget -q -O /dev/null --tries 1 URL", Some(true)),
    (
        "urllib",
        "/usr/bin/python3 -c 'import sys, urllib.request as r; r.urlopen(sys.argv[1]).read()' URL",
        Some(true),
    ),
    ("php", "php -r 'exit(file_get_contents($argv[1]) === false ? 1 : 0);' URL", Some(true)),
    ("apt", APT, Some(true)),
];

pub(super) const APT: &str = "sh -c 'mkdir -p /tmp/apt/lists/partial && echo \"deb [trusted=yes] $0 ./\" >/tmp/apt/sources && apt-get \
     -o Dir::State=/tmp/apt -o Dir::State::lists=lists -o Dir::State::status=/dev/null -o Dir::Cache=/tmp/apt -o Acquire::Retries=0 \
     -o Dir::Etc::sourcelist=/tmp/apt/sources -o Dir::Etc::sourceparts=- -o APT::Sandbox::User= update' URL";

/// The client of Java reads neither variables of a proxy nor any of these.
const JAVA: &str = r#"import java.net.*;
public class Get {
  public static void main(String[] a) throws Exception { ((HttpURLConnection) new URL(a[0]).openConnection()).getResponseCode(); }
}"#;

/// A home whose bottle opens one host and not the other, and the server of both.
pub(super) fn outside(
    backend: Backend,
    bottle: impl FnOnce(Bottle) -> Bottle,
    agents: &[&str],
) -> (Home, Standin) {
    let ca = tempfile::NamedTempFile::new().unwrap().into_temp_path().keep().unwrap();
    let server = secure_standin(&[OPENED, UNOPENED], &ca, Script::default());
    let above = Above::default().route(OPENED, server.address()).route(UNOPENED, server.address());
    let above = above.serve(backend.host_address());
    let rules = format!("'GET,HEAD,POST {OPENED}', '{UNOPENED}'");
    let home = bottle(Bottle::new(above, &[&ca], &rules).egress("intercept: needed")).home(agents);
    (home, server)
}

/// Runs each client with the bottle's variables and with none, and compares who has arrived with who should have.
pub(super) fn check(inside: &mut Session, server: &Standin, clients: &[Client]) {
    let bare = "env -i PATH=\"$PATH\" HOME=/tmp timeout 60";
    let mut wrong = Vec::new();
    for (name, command, trusts_bare) in clients {
        let mut check = |host: &str, how: &str, before: &str, is_expected: bool| {
            let place = format!("/{name}-{how}");
            let said = inside
                .run(&format!("{before} {}", command.replace("URL", &format!("https://{host}{place}"))));
            let arrived = server.requests().iter().any(|request| request.path.starts_with(&place));
            if arrived != is_expected {
                wrong.push(format!("{name} {how}: arrived {arrived}: {}", said.text));
            }
        };
        check(OPENED, "variables", "timeout 60", true);
        if let Some(trusts) = trusts_bare {
            check(OPENED, "bare", bare, *trusts);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn clients_trust_the_bottles_authority_by_file_and_by_variable(backend: Backend) {
    let agent = &format!("e2e-trust-{}", backend.name());
    let (home, server) = outside(backend, |bottle| bottle, &[agent]);
    let mut inside =
        Session::start_by(backend.command(&home, &["--quiet", "start", agent, "--yes"]), &home, agent);
    check(&mut inside, &server, &EVERYWHERE);
    if backend == Backend::Bubblewrap {
        check(&mut inside, &server, &OF_THE_MACHINE);
        inside.write("/tmp/Get.java", JAVA);
        check(&mut inside, &server, &[("java", "java -Xshare:auto /tmp/Get.java URL", Some(true))]);
    }
    // Who is not opened is trusted by the same files, and shows a certificate of its own.
    inside
        .ok(&format!("curl -sS https://{UNOPENED}/unopened && env -i curl -sS https://{UNOPENED}/unopened"));
    let issuer = |host: &str| format!("curl -sS -v https://{host}/ 2>&1 | grep -o 'issuer: .*'");
    assert!(inside.ok(&issuer(OPENED)).contains("claude-bottle e2e-trust"));
    assert!(inside.ok(&issuer(UNOPENED)).contains("stand-in authority"));
    inside.end();
    backend.assert_nothing_left(&home, agent);
}

fn another_bottles_authority_is_not_trusted_and_no_trust_file_can_be_written(backend: Backend) {
    let agents = [format!("e2e-trust-one-{}", backend.name()), format!("e2e-trust-two-{}", backend.name())];
    let (home, _server) = outside(backend, |bottle| bottle, &[&agents[0], &agents[1]]);
    let mut inside = agents.each_ref().map(|agent| {
        Session::start_by(backend.command(&home, &["--quiet", "start", agent, "--yes"]), &home, agent)
    });
    let own = inside[0].ok("cat $NODE_EXTRA_CA_CERTS");
    inside[1].write("/tmp/other.pem", &own);
    let said = inside[1].fails(&format!("curl -sS --cacert /tmp/other.pem https://{OPENED}/"));
    assert!(said.contains("certificate"), "{said}");
    inside[1].ok(&format!("curl -sS https://{OPENED}/"));
    for file in ["$SSL_CERT_FILE", "$NODE_EXTRA_CA_CERTS", "/etc/ssl/certs/ca-certificates.crt"] {
        for attempt in [
            format!("echo x >> {file}"),
            format!("rm -f {file}"),
            format!("mv {file} /tmp/"),
            format!("chmod u+w {file}"),
        ] {
            inside[0].fails(&attempt);
        }
    }
    inside[0].fails("touch $(dirname $SSL_CERT_FILE)/new");
    inside[0].fails("touch /etc/ssl/certs/new.pem");
    inside[0].ok(&format!("env -i curl -sS https://{OPENED}/"));
    let [one, two] = inside;
    one.end();
    two.end();
}

/// Over a network the two share no directory, so the files are copied in.
#[test]
fn the_trust_files_are_there_over_a_network_too() {
    let (backend, agent) = (Backend::Docker, "e2e-trust-network");
    let bottle = |bottle: Bottle| bottle.line("options: { docker: { link: network } }");
    let (home, server) = outside(backend, bottle, &[agent]);
    let start = backend.command(&home, &["--quiet", "start", agent, "--yes"]);
    let mut inside = Session::start_by(start, &home, agent);
    let bare = "env -i PATH=\"$PATH\" HTTPS_PROXY=$HTTPS_PROXY";
    for (path, command) in [
        ("/curl", format!("curl -sS https://{OPENED}/curl")),
        ("/bare", format!("{bare} curl -sS https://{OPENED}/bare")),
        ("/git", format!("git ls-remote https://{OPENED}/git")),
        ("/unopened", format!("curl -sS https://{UNOPENED}/unopened")),
    ] {
        let said = inside.run(&command);
        assert!(
            server.requests().iter().any(|request| request.path.starts_with(path)),
            "{command}: {}",
            said.text
        );
    }
    inside.fails("echo x >> $SSL_CERT_FILE");
    inside.end();
    backend.assert_nothing_left(&home, agent);
}
