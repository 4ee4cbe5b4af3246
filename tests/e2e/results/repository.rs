//! The agent's repository is never opened on the host, whatever it holds and whatever is done with the result.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::{CHANGE, home, live, results, sh, start};
use crate::support::backend::{Backend, on_each_backend};
use crate::support::home::Home;
use crate::support::{assert_code, run, stderr};

on_each_backend!(the_agents_git_is_never_opened);

/// What runs a program when git looks at a repository that an agent could write: settings, attributes, hooks, a directory of
/// settings elsewhere, a remote of missing objects, another repository's objects, a repository further down.
fn traps(canary: &Path, other: &Path) -> String {
    let (canary, other) = (canary.display(), other.display());
    format!(
        "trap='touch {canary}; :'; \
         set_traps() {{ for key in core.fsmonitor core.sshCommand core.pager core.editor core.askPass diff.external \
           filter.x.clean filter.x.smudge filter.x.process diff.x.textconv diff.x.command merge.x.driver credential.helper \
           gpg.program uploadpack.packObjectsHook; do git \"$@\" config $key \"$trap\"; done; \
           git \"$@\" config core.hooksPath .hooks; git \"$@\" config alias.log \"!$trap\"; git \"$@\" config alias.branch \"!$trap\"; \
           git \"$@\" config remote.origin.url \"ext::sh -c touch% {canary}\"; git \"$@\" config remote.origin.promisor true; \
           git \"$@\" config extensions.partialClone origin; git \"$@\" config protocol.ext.allow always; }}; \
         mkdir -p .hooks evil/hooks; \
         for hook in post-checkout pre-commit reference-transaction post-index-change pre-applypatch; do \
           printf '#!/bin/sh\\n%s\\n' \"$trap\" >.hooks/$hook; cp .hooks/$hook .git/hooks/$hook; cp .hooks/$hook evil/hooks/$hook; \
           chmod +x .hooks/$hook .git/hooks/$hook evil/hooks/$hook; done; \
         git init -q --bare bare; set_traps --git-dir=bare; \
         set_traps --git-dir=.git; cp .git/config evil/config; \
         echo '* filter=x diff=x merge=x' >.gitattributes; mkdir host; echo x >host/file; \
         echo '* filter=host diff=host merge=host' >host/.gitattributes; \
         echo ../evil >.git/commondir; echo {other}/.git/objects >.git/objects/info/alternates"
    )
}

/// Watches which files a command opens, and what git is asked.
struct Watch {
    trace: PathBuf,
    bin: PathBuf,
    asked: PathBuf,
}

impl Watch {
    /// Makes a git of the host's that says what it is asked.
    fn new(home: &Home) -> Self {
        let path = |name: &str| home.path().join(name);
        let watch = Self { trace: path("trace"), bin: path("bin"), asked: path("asked") };
        fs::create_dir(&watch.bin).unwrap();
        let git = format!("#!/bin/sh\necho \"$*\" >>{}\nexec /usr/bin/git \"$@\"\n", watch.asked.display());
        fs::write(watch.bin.join("git"), git).unwrap();
        fs::set_permissions(watch.bin.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
        watch
    }

    /// Returns a command that finds this git first.
    fn with_git(&self, mut command: Command) -> Command {
        let path = command.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, path)| path);
        let all = std::env::join_paths(
            std::iter::once(self.bin.clone()).chain(std::env::split_paths(path.unwrap())),
        );
        command.env("PATH", all.unwrap());
        command
    }

    /// Runs a command, and returns what it said, and what it opened and executed.
    fn run(&self, command: &Command) -> (Output, String) {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-e", "trace=open,openat,openat2,execve", "-o"]).arg(&self.trace);
        strace.arg(command.get_program()).args(command.get_args());
        strace.env_clear().current_dir(command.get_current_dir().unwrap());
        strace.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = run(&mut strace);
        (output, fs::read_to_string(&self.trace).unwrap())
    }

    /// Returns what git was asked since the last time.
    fn asked(&self) -> Vec<String> {
        let asked = fs::read_to_string(&self.asked).unwrap_or_default();
        fs::write(&self.asked, "").unwrap();
        asked.lines().map(str::to_owned).collect()
    }
}

fn the_agents_git_is_never_opened(backend: Backend) {
    let agent = &format!("e2e-git-{}", backend.name());
    let home = home(agent);
    let (canary, other) = (home.path().join("canary"), home.path().join("other"));
    // Another repository of the user's, and a filter of the user's own.
    let trap = format!("touch {}; cat", canary.display());
    let settings =
        format!("[user]\nname = a\nemail = a@a\n[filter \"host\"]\nclean = {trap}\nsmudge = {trap}\n");
    fs::write(home.path().join(".gitconfig"), settings).unwrap();
    sh(&home, "git init -q ../other && git -C ../other commit -q --allow-empty -m private");
    let watch = Watch::new(&home);
    let script = format!("{CHANGE}; {}", traps(&canary, &other));
    let output = run(&mut watch.with_git(start(backend, &home, agent, &script)));
    assert_code(&output, 0);
    for line in watch.asked() {
        assert!(line.starts_with("--no-pager config --list"), "git was asked: {line}");
    }
    let name = &results(&home)[0]["run"].as_str().unwrap().to_owned();
    let sealed = home.state().join("results").join(name).join("sealed/git.tar");
    assert!(fs::metadata(&sealed).unwrap().len() > 0, "the traps are kept for the bottle they came from");
    let (into, accept) = (home.path().join("review"), ["--accept", "runs,steers,odd"]);
    let apply = |more: &[&'static str]| [&["apply", "-y"][..], &accept, more].concat();
    let commands: Vec<(Vec<&str>, &[&str])> = vec![
        (vec!["results"], &[]),
        (vec!["results", "--all", "--format", "json"], &[]),
        (vec!["diff"], &[]),
        (vec!["diff", "--stat"], &[]),
        (vec!["diff", "--left-out"], &[]),
        (vec!["diff", "--format", "json"], &[]),
        (vec!["diff", "--format", "patch"], &[]),
        (vec!["diff", "--into", into.to_str().unwrap()], &[]),
        (vec!["apply", "--dry-run"], &[]),
        (apply(&["--branch", "taken"]), &["rev-parse", "fast-import"]),
        (apply(&[]), &[]),
        (vec!["apply", "--undo", "-y"], &[]),
        (apply(&["--3way"]), &[]),
        (vec!["logs", name], &[]),
        (vec!["cleanup", "--dry-run"], &[]),
        (vec!["discard", "-y", name], &[]),
    ];
    for (arguments, allowed) in commands {
        let (output, trace) = watch.run(&watch.with_git(backend.command(&home, &arguments)));
        assert_code(&output, 0);
        let opened: Vec<_> = trace.lines().filter(|line| line.contains("/sealed/git.tar\"")).collect();
        assert_eq!(opened, Vec::<&str>::new(), "{arguments:?}");
        for line in watch.asked() {
            // Who the user is may be asked for, of the user's own repository.
            let is_known = line.contains("config --list")
                || line.contains("config --get")
                || allowed.iter().any(|verb| line.contains(&format!(" {verb} ")));
            assert!(is_known, "{arguments:?} asked git: {line}");
        }
        assert!(!canary.exists(), "{arguments:?} ran what the agent wrote: {}", stderr(&output));
    }
    backend.assert_nothing_left(&home, agent);
    look_at_one_that_runs(backend, &home, agent, &watch);
    assert!(!canary.exists(), "something ran what the agent wrote");
}

/// A moment of a bottle that runs is read the same way.
fn look_at_one_that_runs(backend: Backend, home: &Home, agent: &str, watch: &Watch) {
    let live = live(backend, home, agent);
    for arguments in [["diff", agent], ["save", agent]] {
        let (output, _) = watch.run(&watch.with_git(backend.command(home, &arguments)));
        assert_code(&output, 0);
        assert_eq!(watch.asked(), Vec::<String>::new(), "{arguments:?}");
    }
    live.end();
}
