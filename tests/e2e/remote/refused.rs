//! A way by ssh that cannot be had: `ssh` says why, what helps is named, and nothing is made.

use std::fs;

use super::{Far, home};
use crate::support::backend::Backend;
use crate::support::sshd::make_key;
use crate::support::{assert_code, run, stderr, stdout};

/// Fails unless a start is refused with a reason and a hint, and leaves nothing; `doctor` says the same.
#[track_caller]
fn assert_refused(far: &Far, agent: &str, host: Option<&str>, reason: &str, hint: &str) {
    let home = home(agent);
    let command = |arguments: &[&str]| {
        let mut command = far.command(&home, arguments);
        command.envs(host.map(|host| ("DOCKER_HOST", host)));
        run(&mut command)
    };
    let output = command(&["start", agent, "--yes"]);
    assert_code(&output, 125);
    let said = stderr(&output);
    assert!(said.contains("by ssh: ") && said.contains(reason), "{said}");
    assert!(said.contains(&format!("hint: {hint}")), "{said}");
    let doctor = command(&["doctor"]);
    assert!((stdout(&doctor) + &stderr(&doctor)).contains(reason), "{}", stdout(&doctor));
    Backend::Docker.assert_nothing_left(&home, agent);
    far.assert_no_way_is_open();
}

#[test]
fn a_host_key_that_is_not_known_or_is_another_is_refused_and_not_learnt() {
    let agent = "e2e-far-host-key";
    let far = Far::start(agent, "");
    let known = fs::read_to_string(far.known_hosts()).unwrap();
    fs::write(far.known_hosts(), "").unwrap();
    let refused = "Host key verification failed";
    assert_refused(&far, agent, None, refused, &format!("ssh {agent}   # once, by hand"));
    assert_eq!(fs::read_to_string(far.known_hosts()).unwrap(), "");

    // Another key in its place.
    let other = far.dir.path().join("other");
    make_key(&other, "");
    let key = crate::support::sshd::public_key(&other);
    let place = known.split_whitespace().next().unwrap();
    fs::write(far.known_hosts(), format!("{place} {key}\n")).unwrap();
    assert_refused(&far, agent, None, refused, &format!("ssh {agent}   # "));
}

#[test]
fn a_key_that_may_not_log_in_is_refused() {
    let agent = "e2e-far-key";
    let far = Far::start(agent, "");
    let other = far.dir.path().join("other");
    make_key(&other, "");
    far.configure(&other);
    assert_refused(&far, agent, None, "Permission denied (publickey)", "ssh-add ");
}

#[test]
fn a_server_that_forwards_nothing_is_named() {
    let agent = "e2e-far-forwarding";
    let far = Far::start(agent, "AllowStreamLocalForwarding no\n");
    assert_refused(&far, agent, None, "open failed", &format!("ssh {agent} docker version   # "));
}

#[test]
fn a_machine_without_an_engine_at_that_path_and_one_that_does_not_answer_are_named() {
    let agent = "e2e-far-socket";
    let mut far = Far::start(agent, "");
    let missing = format!("ssh://{agent}/nowhere/docker.sock");
    let hint = format!(
        "ssh {agent} docker version   # has to work there; the engine's socket is `/nowhere/docker.sock`"
    );
    assert_refused(&far, agent, Some(&missing), "open failed", &hint);
    far.sshd.stop();
    assert_refused(&far, agent, None, "Connection refused", &format!("ssh {agent} true   # "));
}

#[test]
fn an_address_that_could_mean_more_than_a_machine_is_refused_before_ssh_is_started() {
    let agent = "e2e-far-address";
    let far = Far::start(agent, "");
    let home = home(agent);
    for host in ["ssh://-oProxyCommand=touch%20x", "ssh://me:secret@far", "ssh://far;reboot", "ssh://far/a:b"]
    {
        let output = run(far.command(&home, &["start", agent, "--yes"]).env("DOCKER_HOST", host));
        assert_code(&output, 125);
        assert!(stderr(&output).contains("is not a valid address for ssh"), "{}", stderr(&output));
    }
    assert_eq!(far.starts(), Vec::<String>::new());
}
