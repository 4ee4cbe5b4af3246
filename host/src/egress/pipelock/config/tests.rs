//! The file for one bottle with everything in it, whole and key by key; and what is refused.
//!
//! Each test names the section of <https://github.com/luckyPipewrench/pipelock/blob/v2.3.0/docs/configuration.md> it is about.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_yaml::Value;

use super::*;
use crate::egress::effective_policy;
use crate::manifest::{Locations, Manifest};
use crate::trust::Trust;

/// A bottle that says all that pipelock can do. The golden file is its configuration.
const EVERYTHING: &str = r#"
    ssh:
      - { Host: forge, Hostname: git.example.org, User: git, Port: 22, IdentityFile: ~/key }
      - { Host: four, Hostname: 10.0.0.5, User: git, Port: 2222, IdentityFile: ~/key }
      - { Host: six, Hostname: "fd00::5", User: git, Port: 22, IdentityFile: ~/key }
    egress:
      proxy: pipelock
      allowlist: [registry.example, "*.registry.example", API.anthropic.com]
"#;

/// Returns what is written for a bottle of this manifest, or why not.
fn written(bottle: &str) -> anyhow::Result<String> {
    let home = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(home.path().join(name), text).unwrap();
    write("key", "-----BEGIN OPENSSH PRIVATE KEY-----\n");
    fs::set_permissions(home.path().join("key"), fs::Permissions::from_mode(0o600)).unwrap();
    write("claude-bottle.yaml", &format!("bottles:\n  dev:{bottle}\nagents:\n  dev: {{ bottle: dev }}\n"));
    let trust = Trust::open(home.path().join("trust")).unwrap();
    let locations = Locations {
        home: home.path().to_owned(),
        own: home.path().to_owned(),
        cwd: home.path().to_owned(),
        above: 0,
        profiles: Default::default(),
    };
    let manifest = Manifest::load(&locations, &trust).unwrap_or_else(|errors| panic!("{errors}"));
    let bottle = manifest.bottle("dev").unwrap();
    config(&effective_policy(None, bottle).unwrap(), bottle)
}

fn document(bottle: &str) -> Value {
    serde_yaml::from_str(&written(bottle).unwrap()).unwrap()
}

fn list(value: &Value) -> Vec<&str> {
    value.as_sequence().unwrap().iter().map(|item| item.as_str().unwrap()).collect()
}

#[test]
fn the_whole_file_is_the_golden_one() {
    assert_eq!(written(EVERYTHING).unwrap(), include_str!("../golden.yaml"));
}

/// "Top-Level Fields" and "Modes": the allowlist is enforced in strict mode alone, and only while `enforce` holds.
#[test]
fn the_allowlist_is_enforced() {
    let document = document(" {}");
    assert_eq!(document["version"], 1);
    assert_eq!(document["mode"], "strict");
    assert_eq!(document["enforce"], true);
}

/// The parser refuses an unknown key, and has a default for each that is missing. So no other key may appear, also
/// not `sentry`, whose address is in pipelock's presets alone: without one it reports to nobody.
#[test]
fn there_is_no_other_key() {
    let keys = |value: &Value| -> BTreeSet<String> {
        value.as_mapping().unwrap().keys().map(|key| key.as_str().unwrap().to_owned()).collect()
    };
    let set = |names: &[&str]| -> BTreeSet<String> { names.iter().map(|name| (*name).to_owned()).collect() };
    let small = set(&[
        "version",
        "mode",
        "enforce",
        "api_allowlist",
        "fetch_proxy",
        "forward_proxy",
        "dlp",
        "request_body_scanning",
        "metrics_listen",
    ]);
    assert_eq!(keys(&document(" {}")), small);
    let document = document(EVERYTHING);
    assert_eq!(keys(&document), &small | &set(&["trusted_domains", "ssrf"]));
    assert_eq!(keys(&document["ssrf"]), set(&["ip_allowlist"]));
    assert_eq!(
        keys(&document["forward_proxy"]),
        set(&["enabled", "max_tunnel_seconds", "idle_timeout_seconds"])
    );
    assert_eq!(
        keys(&document["fetch_proxy"]["monitoring"]),
        set(&["max_url_length", "max_requests_per_minute"])
    );
    let dlp = set(&["include_defaults", "scan_env", "min_env_secret_length", "secrets_file", "patterns"]);
    assert_eq!(keys(&document["dlp"]), dlp);
}

/// "API Allowlist": defaults, the bottle's own and the SSH hosts, sorted, each once, in lower case, never with a port; it may
/// not be empty in strict mode.
#[test]
fn the_allowlist_has_every_host_once() {
    let (small, all) = (document(" {}"), document(EVERYTHING));
    let (small, all) = (list(&small["api_allowlist"]), list(&all["api_allowlist"]));
    assert!(small.contains(&"api.anthropic.com") && small.len() == 7, "{small:?}");
    assert!(all.is_sorted() && all.windows(2).all(|two| two[0] != two[1]), "{all:?}");
    let added: Vec<_> = all.iter().filter(|host| !small.contains(host)).copied().collect();
    assert_eq!(added, ["*.registry.example", "10.0.0.5", "fd00::5", "git.example.org", "registry.example"]);
}

/// "Trusted Domains": an SSH host may be in a private network; nothing else may.
#[test]
fn only_ssh_hosts_may_be_private_by_name() {
    assert_eq!(list(&document(EVERYTHING)["trusted_domains"]), ["git.example.org"]);
    assert_eq!(document("\n    egress: { allowlist: [a.example] }")["trusted_domains"], Value::Null);
}

/// "SSRF IP Allowlist": an address of an SSH host, as a range of one; a larger range is refused there when it has host bits.
#[test]
fn only_ssh_hosts_may_be_private_by_address() {
    assert_eq!(list(&document(EVERYTHING)["ssrf"]["ip_allowlist"]), ["10.0.0.5/32", "fd00::5/128"]);
    assert_eq!(document("\n    egress: { allowlist: [203.0.113.7] }")["ssrf"], Value::Null);
}

/// "Forward Proxy": off by default, and CONNECT is answered 405 then. The server name of TLS is compared by default. Its own
/// limits end a tunnel after five minutes, a client after 60 requests a minute, and a URL after 2048 bytes.
#[test]
fn it_is_a_forward_proxy_with_the_guards_limits() {
    let document = document(" {}");
    assert_eq!(document["forward_proxy"]["enabled"], true);
    assert_eq!(document["forward_proxy"]["max_tunnel_seconds"], 31_536_000);
    assert_eq!(document["forward_proxy"]["idle_timeout_seconds"], 900);
    let monitoring = &document["fetch_proxy"]["monitoring"];
    assert_eq!(
        (&monitoring["max_requests_per_minute"], &monitoring["max_url_length"]),
        (&1_000_000.into(), &65_536.into())
    );
}

/// "DLP": the built-in patterns, two more, "Environment Variable Leak Detection", and "Secrets File". Never one that is on a disk.
#[test]
fn it_looks_for_secrets() {
    let document = document(" {}");
    let dlp = &document["dlp"];
    assert_eq!((&dlp["include_defaults"], &dlp["scan_env"]), (&true.into(), &true.into()));
    assert_eq!(dlp["secrets_file"], "/dev/stdin");
    assert_eq!(dlp["min_env_secret_length"], 8);
    let token = format!("sk-{}T3BlbkFJ{}", "aB3".repeat(7), "dE5".repeat(7));
    let webhook = format!("https://hooks.slack.com/services/T0/B0/{}", "aB3".repeat(13));
    for (pattern, example) in dlp["patterns"].as_sequence().unwrap().iter().zip([token, webhook]) {
        let pattern = regex::Regex::new(pattern["regex"].as_str().unwrap()).unwrap();
        assert!(pattern.is_match(&example), "{example}");
    }
}

/// "Request Body Scanning": it only warns by default, in strict mode as well, and looks at a few headers.
#[test]
fn what_it_finds_in_headers_and_bodies_does_not_go_out() {
    let document = document(" {}");
    let scanning = &document["request_body_scanning"];
    assert_eq!((&scanning["enabled"], &scanning["action"]), (&true.into(), &"block".into()));
    assert_eq!((&scanning["scan_headers"], &scanning["header_mode"]), (&true.into(), &"all".into()));
    // A header that the client is free to fill is looked at.
    let ignored = list(&scanning["ignore_headers"]);
    assert!(!ignored.iter().any(|name| ["Cookie", "Authorization", "User-Agent", "Accept"].contains(name)));
}

/// "Metrics": the bottle reaches the proxy's port, and so everything that is served there.
#[test]
fn its_figures_are_not_for_the_bottle() {
    assert_eq!(document(" {}")["metrics_listen"], "127.0.0.1:0");
}

#[test]
fn what_it_cannot_do_is_refused_with_its_place() {
    let check = |egress: &str, reason: &str| {
        let error = written(&format!("\n    egress:\n      {egress}")).unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains("claude-bottle.yaml:"), "{error}");
    };
    check("allowlist: [deny a.example]", "pipelock has no denials, and the rule `deny a.example`");
    check(
        "allowlist: ['GET a.example:80/x']",
        "pipelock restricts no method and no path, and the rule `GET a.example:80/x`",
    );
    check("allowlist: ['a.example:8443']", "pipelock restricts no port, and the rule `a.example:8443`");
    check("allowlist: ['*.a.example']", "also allows `a.example` itself");
    check("hosts: { a.example: 10.0.0.1 }", "pipelock knows no static addresses");
    check("private: [{ host: a.example, range: 10.0.0.0/8 }]", "pipelock grants no range to one host");
    check("dlp: { rules: warn }", "pipelock inspects by its own rules");
}
