//! What the process that calls the program must not decide: that it runs, and what a bottle is.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::backend::{Backend, on_each_backend};
use crate::support::home::Home;
use crate::support::{assert_code, run, stderr, stdout};

on_each_backend!(the_callers_process_decides_nothing);

/// What a program in the bottle inherits, and how the file that it gets from the host looks.
const INHERITED: &str = "umask; grep -E '^SigBlk' /proc/self/status; cut -d' ' -f19 /proc/self/stat; \
    for fd in /proc/self/fd/*; do echo $fd; done; pwd; stat -c '%a %U' ~ ~/workspace ~/.claude/skills/greet/SKILL.md; \
    sed -n '/stack/p; /open/p; /file size/p' /proc/self/limits";

/// Ignores every signal that can be ignored, the end of children among them.
const IGNORE: &str = "use POSIX; for my $signal (1..64) { next if grep { $_ == $signal } (4, 8, 9, 11, 19); \
    eval { POSIX::sigaction($signal, POSIX::SigAction->new('IGNORE')) } } exec @ARGV";

const BLOCK: &str = "use POSIX; sigprocmask(SIG_BLOCK, POSIX::SigSet->new(1..31, 34..64)); exec @ARGV";

fn the_callers_process_decides_nothing(backend: Backend) {
    let agent = &format!("e2e-caller-{}", backend.name());
    let home = Home::new(&format!(
        "bottles:\n  dev: {{}}\nagents:\n  {agent}:\n    bottle: dev\n    skills: [greet]\n    command: [sh, -c, {INHERITED:?}]\n"
    ));
    home.skill("greet", "---\nname: greet\ndescription: How to greet\n---\nSay hello.\n");
    let plain = backend.command(&home, &["start", agent, "--yes"]);
    let output = run(&mut below(&[], &plain, &home.work()));
    assert_code(&output, 0);
    let usual = stdout(&output);
    let shell = |script: &'static str| ["sh", "-c", script, "sh"].to_vec();
    let cases = [
        ("ignored signals", vec!["perl", "-e", IGNORE]),
        ("blocked signals", vec!["perl", "-e", BLOCK]),
        ("an open mask", shell("umask 0; exec \"$@\"")),
        ("a closed mask", shell("umask 0777; exec \"$@\"")),
        ("low limits", shell("ulimit -S -n 64; ulimit -S -s 512; exec \"$@\"")),
        ("niceness", vec!["nice", "-n", "1"]),
        ("open descriptors", shell("exec 9</etc/hostname 8>/dev/null \"$@\"")),
        ("a directory that is gone", shell("mkdir gone; cd gone; rmdir ../gone; exec \"$@\"")),
        ("no input, and no errors to be seen", shell("exec \"$@\" <&- 2>&-")),
    ];
    for (what, wrapper) in cases {
        let output = run(&mut below(&wrapper, &plain, &home.work()));
        assert_eq!(stdout(&output), usual, "{what}: {}", stderr(&output));
        assert_code(&output, 0);
    }
    backend.assert_nothing_left(&home, agent);
}

/// Puts a command below another one.
fn below(wrapper: &[&str], command: &Command, dir: &Path) -> Command {
    let mut words = wrapper.iter().map(|word| (*word).as_ref()).chain([command.get_program()]);
    let mut whole = Command::new(words.next().unwrap());
    whole.args(words).args(command.get_args()).env_clear().current_dir(dir);
    whole.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
    whole
}

#[test]
fn a_directory_that_is_gone_is_named_where_it_is_meant() {
    let home = Home::new("bottles:\n  dev: {}\nagents:\n  gone: { bottle: dev, command: [echo] }\n");
    for arguments in [["start", "gone", "--cwd"].as_slice(), &["trust"], &["init", "other", "--here"]] {
        let wrapper = ["sh", "-c", "mkdir gone; cd gone; rmdir ../gone; exec \"$@\"", "sh"];
        let output = run(&mut below(&wrapper, &home.command(arguments), &home.work()));
        let said = stderr(&output);
        assert!(said.contains("error: the working directory was removed"), "{arguments:?}: {said}");
        assert!(said.contains("hint: cd to a directory that exists"), "{arguments:?}: {said}");
    }
}
