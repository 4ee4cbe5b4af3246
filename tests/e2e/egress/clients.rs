//! Real clients through the sidecar: what is allowed works, what is not fails, and the decision log says why.
//!
//! npm and apt ask the registries which the agent image is set up for, cargo and pip those of this machine; the hosts are
//! read from the clients' own configuration. git speaks to a server of this test's own, over HTTPS, since a public forge
//! cannot be counted on. The agent's own CLI is the matter of the tests beside this folder.

use std::net::{IpAddr, ToSocketAddrs};
use std::path::Path;

use claude_bottle_egress_policy::special_purpose;

use super::carried;
use super::fixture::{Fixture, IMAGE};
use super::session::Session;
use super::{assert_refused, decisions, home};
use crate::support::engine;

/// A service that a client reaches by a name.
pub(super) struct Service {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Service {
    /// Reads host and port of a URL.
    pub(super) fn of(url: &str) -> Self {
        let (scheme, rest) = url.trim().split_once("://").expect("a URL");
        let authority = rest.split('/').next().unwrap();
        let port = if scheme == "https" { 443 } else { 80 };
        match authority.split_once(':') {
            Some((host, port)) => Self { host: host.to_owned(), port: port.parse().unwrap() },
            None => Self { host: authority.to_owned(), port },
        }
    }

    /// Returns the `private` entries it needs where its name leads to a mirror in a range that is otherwise refused.
    fn grants(&self) -> Vec<String> {
        let found = (self.host.as_str(), self.port).to_socket_addrs();
        let found = found.unwrap_or_else(|error| panic!("look up `{}`: {error}", self.host));
        let addresses: std::collections::BTreeSet<IpAddr> = found.map(|address| address.ip()).collect();
        let special = addresses.into_iter().filter(|address| special_purpose(*address).is_some());
        special.map(|ip| self.grant(ip)).collect()
    }

    fn grant(&self, ip: IpAddr) -> String {
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        format!("{{ host: {}, range: '{ip}/{bits}' }}", self.host)
    }
}

/// Runs a program in the agent image.
fn in_the_image(script: &str) -> String {
    engine::docker(&["run", "--rm", "--network", "none", IMAGE, "sh", "-c", script]).trim().to_owned()
}

/// Builds the `egress` section: these services, and the Git server at an address, which is trusted by a file.
fn egress(services: &[Service], git: &Service, (address, authority): (IpAddr, &Path)) -> String {
    let mut rules: Vec<_> =
        services.iter().chain([git]).map(|service| format!("'{}:{}'", service.host, service.port)).collect();
    rules.sort();
    rules.dedup();
    let mut grants: Vec<_> = services.iter().flat_map(|service| service.grants()).collect();
    grants.push(git.grant(address));
    grants.sort();
    grants.dedup();
    format!(
        "      allowlist: [{}]\n      hosts: {{ {}: {address} }}\n      private: [{}]\n      authorities: [{}]\n",
        rules.join(", "),
        git.host,
        grants.join(", "),
        authority.display()
    )
}

#[test]
fn real_clients_reach_what_is_allowed_and_nothing_else() {
    let agent = "e2e-clients";
    let bridge = engine::bridge_address();
    let server = Fixture::on_the_host(&[
        "sh",
        "-c",
        include_str!("git-server.sh"),
        "sh",
        &bridge.to_string(),
        "git.fixture.test",
    ]);
    let git = Service { host: "git.fixture.test".to_owned(), port: server.line().parse().unwrap() };
    let mut certificate = server.lines_to("ready");
    certificate.pop();

    let registry = in_the_image("npm config get registry");
    // One small part of the archive is enough to see the client work.
    let source = in_the_image(
        "cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep '^deb ' | sort | tail -n 1",
    );
    let archive =
        source.split_whitespace().find(|word| word.contains("://")).expect("an apt source").to_owned();
    let (npm, apt) = (Service::of(&registry), Service::of(&archive));

    let mut services = vec![npm, apt];
    services.extend(carried::cargo_services());
    services.extend(carried::pip_services());
    let authority = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(authority.path(), certificate.join("\n")).unwrap();
    let home = home(&[agent], &egress(&services, &git, (bridge, authority.path())));
    let mut inside = Session::start(&home, agent);
    inside.write("/tmp/ca.pem", &certificate.join("\n"));
    curl(&mut inside, &archive, &git);
    git_over_https(&mut inside, &git);
    npm_installs(&mut inside);
    apt_updates(&mut inside, &source, &archive);
    carried::carry_in(agent);
    carried::cargo(&mut inside);
    carried::pip(&mut inside);
    inside.end();

    let log = decisions(&home);
    for client in ["curl-http", "curl-https", "git", "npm", "apt", "cargo", "pip"] {
        assert_refused(&log, &format!("refused-{client}.test"));
    }
    for service in services.iter().chain([&git]) {
        let allowed = |line: &&serde_json::Value| line["host"] == service.host && line["verdict"] == "allow";
        assert!(log.iter().any(|line| allowed(&line)), "no word about a service that was reached");
    }
    assert_eq!(engine::resources_of(agent), Vec::<String>::new());
}

fn curl(inside: &mut Session, archive: &str, git: &Service) {
    inside.ok(&format!("curl -sS -f -o /tmp/body {}/", archive.trim_end_matches('/')));
    let (host, port) = (&git.host, git.port);
    let refs = format!(
        "curl -sS -f --cacert /tmp/ca.pem https://{host}:{port}/project.git/info/refs?service=git-upload-pack -o -"
    );
    assert!(inside.ok(&format!("{refs} | tr -d '\\0'")).contains("refs/heads/main"));
    let said = inside.ok("curl -sS -w '%{http_code}' http://refused-curl-http.test/");
    assert!(said.ends_with("403") && said.contains("egress.allowlist"), "{said}");
    let said = inside.fails("curl -sS https://refused-curl-https.test/");
    assert!(said.contains("403"), "{said}");
}

fn git_over_https(inside: &mut Session, git: &Service) {
    let url = format!("https://{}:{}/project.git", git.host, git.port);
    let call = "git -c user.name=Agent -c user.email=agent@example.test";
    let said = inside.ok(&format!("{call} clone -q {url} /tmp/project && cat /tmp/project/file.txt"));
    assert_eq!(said, "from the fixture");
    inside.ok(&format!(
        "cd /tmp/project && head -c 3000000 /dev/urandom > large && git add large && {call} commit -qm 'add a file' \
         && {call} push -q origin main && {call} ls-remote origin main | grep -q $(git rev-parse HEAD)"
    ));
    let said = inside.fails("timeout 20 git ls-remote https://refused-git.test/project.git");
    assert!(said.contains("403"), "{said}");
}

fn npm_installs(inside: &mut Session) {
    let quiet = "npm --no-audit --no-fund --no-update-notifier";
    inside.ok(&format!("mkdir /tmp/npm && cd /tmp/npm && {quiet} install is-number@7.0.0"));
    assert_eq!(inside.ok("cd /tmp/npm && node -p 'require(\"is-number\")(42)'"), "true");
    let refused = "--registry https://refused-npm.test/ --fetch-retries 0";
    let said = inside.fails(&format!("{quiet} view is-number {refused}"));
    assert!(said.contains("403"), "{said}");
}

fn apt_updates(inside: &mut Session, source: &str, archive: &str) {
    // Without root it works on directories of its own.
    inside.ok("mkdir -p /tmp/apt/lists/partial /tmp/apt/cache/archives/partial && touch /tmp/apt/status");
    let call = "apt-get -o Dir::Etc::SourceList=/tmp/apt/sources.list -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State=/tmp/apt -o Dir::State::Lists=/tmp/apt/lists -o Dir::State::Status=/tmp/apt/status \
        -o Dir::Cache=/tmp/apt/cache -o Acquire::Languages=none -o Acquire::Retries=0 --error-on=any update";
    inside.write("/tmp/apt/sources.list", source);
    inside.ok(call);
    inside.write("/tmp/apt/sources.list", &source.replace(archive, "http://refused-apt.test/"));
    let said = inside.fails(call);
    assert!(said.contains("403"), "{said}");
}
