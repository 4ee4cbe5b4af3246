//! Completions, asked for by the real shells.

use std::path::PathBuf;
use std::process::Command;

use crate::support::live::Live;
use crate::support::tree::program;
use crate::support::{Home, Terminal, assert_code, json, stdout};

/// A manifest whose values would show if anything but names was offered.
const MANIFEST: &str = "\
bottles:
  dev:
    env: { TOKEN: hunter2-the-secret }
    egress: { allowlist: [github.com, pypi.org, deny gist.github.com] }
  other: {}
agents:
  hello: { bottle: dev, command: [sh, -c] }
  helper: { bottle: other, command: [echo] }
";

/// A home with something of everything that is completed: agents, a skill, a saved result and a bottle that runs.
struct Filled {
    home: Home,
    run: Live,
}

impl Filled {
    fn new() -> Self {
        let home = Home::with(MANIFEST);
        home.write(".claude/skills/review/SKILL.md", "---\nname: review\n---\n");
        let change =
            ["start", "hello", "--yes", "--cwd", "--name", "first", "--", "echo x > made; echo y > '$(id)'"];
        assert_code(&home.call(&change), 0);
        let arguments = ["start", "hello", "--yes", "--name", "parser", "--", "echo ready; cat"];
        let run = Live::start(&mut home.command(&arguments));
        run.wait_for_stdout("ready");
        home.write("work/notes.txt", "");
        Self { home, run }
    }

    /// Prepares a shell that has the program and the script of its completions.
    fn shell(&self, shell: &str) -> Command {
        let output = self.home.call(&["completions", shell]);
        assert_code(&output, 0);
        let file = self.home.write("completions", &stdout(&output));
        let mut command = Command::new(shell);
        command.env_clear().current_dir(self.home.work()).env("HOME", self.home.path());
        command.env("PATH", format!("{}:/usr/bin:/bin", bin().display())).env("FILE", file);
        command.env("CLAUDE_BOTTLE_BACKEND", "fake").env("TERM", "dumb");
        command
    }

    /// Runs a script of a shell and returns the lines it wrote.
    fn lines(&self, shell: &str, script: &str) -> Vec<String> {
        let output = self.shell(shell).args(["-c", script]).output();
        let output = output.unwrap_or_else(|error| panic!("{shell}: {error}: tests/setup/test-tools.sh"));
        assert_code(&output, 0);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        stdout(&output).lines().map(str::to_owned).collect()
    }

    /// Returns what the program itself offers at the end of these words, without what it says of each.
    fn offered(&self, words: &[&str]) -> Vec<String> {
        let mut arguments = vec!["complete", "--", "claude-bottle"];
        arguments.extend(words);
        let output = self.home.call(&arguments);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{words:?}");
        let text = stdout(&output);
        assert!(!text.contains("hunter2"), "{text}");
        text.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
    }

    fn end(self) {
        assert_code(&self.run.end(), 0);
    }
}

fn bin() -> PathBuf {
    program().parent().unwrap().to_owned()
}

/// What is typed, and what every shell offers then.
const EXPECTED: [(&str, &str); 9] = [
    ("st", "start stop"),
    ("rea", ""),
    ("start hel", "hello helper"),
    ("start hello --cw", "--cwd"),
    ("start hello --backend ", "fake"),
    ("exec pa", "parser"),
    ("apply hel", "hello"),
    ("policy check hello pyp", "pypi.org"),
    ("list active --format ", "text json"),
];

#[test]
fn bash() {
    let filled = Filled::new();
    // As readline calls it; what it takes for one word is for bash to say.
    let script = r#"
        . "$FILE"
        complete -p claude-bottle >/dev/null
        offered() {
            COMP_LINE="claude-bottle $1" COMP_POINT=$((14 + ${#1}))
            local word=${1##* }
            read -ra COMP_WORDS <<<"$COMP_LINE"
            if [[ $1 == *' ' ]]; then COMP_WORDS+=(''); fi
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
            _claude_bottle claude-bottle "$word" x
            echo "${COMPREPLY[*]}"
        }
    "#;
    let calls: String = EXPECTED.iter().map(|(typed, _)| format!("offered '{typed}'\n")).collect();
    let expected: Vec<_> = EXPECTED.iter().map(|(_, offered)| (*offered).to_owned()).collect();
    assert_eq!(filled.lines("bash", &format!("{script}{calls}")), expected);

    let mut bash = filled.shell("bash");
    bash.args(["--norc", "--noprofile", "-i"]).env("TERM", "xterm");
    let mut terminal = Terminal::start(&bash);
    terminal.type_keys("PS1='> '; bind 'set bell-style none'; . $FILE; echo re''ady\r");
    terminal.wait_for("ready\r\n");
    // One candidate is typed out, also behind the `=` and the `:` at which bash ends a word; files where files are meant.
    for (typed, whole) in [
        ("claude-bottle exec pars\t", "exec parser "),
        ("claude-bottle start hello --backend=fa\t", "--backend=fake "),
        ("claude-bottle policy check hello pypi.o\t", "hello pypi.org "),
        ("claude-bottle diff first --into=not\t", "--into=notes.txt "),
        ("claude-bottle start hello -- not\t", "-- notes.txt "),
    ] {
        terminal.type_keys(typed);
        terminal.wait_for(whole);
        terminal.type_keys("\u{15}");
    }
    terminal.type_keys("exit\r");
    terminal.end();
    filled.end();
}

#[test]
fn fish() {
    let filled = Filled::new();
    let calls: String = EXPECTED
        .iter()
        .map(|(typed, _)| {
            format!("echo (complete -C 'claude-bottle {typed}' | string replace -r '\\t.*' '')\n")
        })
        .collect();
    let lines = filled.lines("fish", &format!("source $FILE\n{calls}true"));
    let expected: Vec<_> = EXPECTED.iter().map(|(_, offered)| (*offered).to_owned()).collect();
    assert_eq!(lines, expected);
    let files = "complete -C 'claude-bottle diff first --into=not' | string replace -r '\\t.*' ''; \
                 complete -C 'claude-bottle start hello -- not' | string replace -r '\\t.*' ''";
    assert_eq!(
        filled.lines("fish", &format!("source $FILE; {files}; true")),
        ["--into=notes.txt", "notes.txt"]
    );
    filled.end();
}

#[test]
fn zsh() {
    let filled = Filled::new();
    let mut zsh = filled.shell("zsh");
    zsh.args(["-f", "-i"]).env("TERM", "xterm");
    let mut terminal = Terminal::start(&zsh);
    terminal.type_keys("PS1='> '; autoload -U compinit; compinit -D; . $FILE; LISTMAX=999; echo re''ady\r");
    terminal.wait_for("ready\r\n");
    // zsh writes what it adds to a word again with the whole line, or the rest alone.
    for (typed, shown) in [
        ("claude-bottle start hel\t\t", "sh in bottle dev"),
        ("claude-bottle exec pars\t", "parser"),
        ("claude-bottle start hello --backend=fa\t", "--backend=fake"),
        ("claude-bottle policy check hello \t\t", "pypi.org"),
        ("claude-bottle start hello --\t\t", "--timings"),
        ("claude-bottle diff first --into=not\t", "notes.txt"),
    ] {
        terminal.type_keys(typed);
        terminal.wait_for(shown);
        terminal.type_keys("\u{15}");
    }
    terminal.type_keys("clear; claude-bottle \t\t");
    terminal.wait_for("untrust");
    terminal.type_keys("\u{15}exit\r");
    let text = terminal.end().1;
    assert!(!text.contains("plugin-case") && !text.contains("reap "), "{text}");
    filled.end();
}

#[test]
fn there_is_something_for_every_argument() {
    let filled = Filled::new();
    let listed = json(&filled.home.call(&["results", "--format", "json"]));
    let saved = listed[0]["run"].as_str().unwrap();
    let running = json(&filled.home.call(&["ps", "--format", "json"]));
    let running = running[0]["id"].as_str().unwrap();
    for (words, offered) in [
        (&["info", ""][..], &["hello", "helper"][..]),
        (&["stop", ""], &["parser", "hello"]),
        (&["save", "p"], &["parser"]),
        (&["rm", "p"], &["parser"]),
        (&["logs", "parser-"], &[running]),
        (&["logs", "f"], &[saved, "first"]),
        (&["discard", "first", "f"], &[saved]),
        (&["resume", "hel"], &["hello"]),
        (&["results", "verify", "first-"], &[saved]),
        (&["diff", "first", "m"], &["made"]),
        (&["policy", "check", "p"], &["parser"]),
        (&["policy", "check", "parser", "git"], &["github.com"]),
        (&["init", "new", "--bottle", ""], &["dev", "other"]),
        (&["init", "new", "--skill", ""], &["review"]),
        (&["init", "new", "--preset", "pyth"], &["python"]),
        (&["plugin", "pin", ""], &["fake"]),
        (&["resume", "--backend=f"], &["--backend=fake"]),
        (&["apply", "--accept", "r"], &["runs"]),
        (&["--color", "n"], &["never"]),
        (&["completions", "z"], &["zsh"]),
        (&["help", "sto"], &["stop"]),
        (&["ls", "act"], &["active"]),
        // Nothing of an agent's is run by a shell, and what is hidden stays so.
        (&["diff", "first", "$"], &[]),
        (&["rea"], &[]),
        (&["plugin-"], &[]),
        (&["complet"], &["completions"]),
    ] {
        assert_eq!(filled.offered(words), offered.to_vec(), "{words:?}");
    }
    let commands = filled.offered(&[""]);
    assert!(commands.contains(&"start".to_owned()) && !commands.contains(&"run".to_owned()), "{commands:?}");
    for files in [&["diff", "--into", ""][..], &["start", "hello", "--cwd=w"], &["exec", "parser", "--", ""]]
    {
        let mut arguments = vec!["complete", "--", "claude-bottle"];
        arguments.extend(files);
        assert_code(&filled.home.call(&arguments), 3);
    }
    filled.end();
}

#[test]
fn every_option_of_every_command_is_offered() {
    fn walk(command: &clap::Command, filled: &Filled, path: &[String], count: &mut usize) {
        let words: Vec<_> = path.iter().map(String::as_str).chain(["--"]).collect();
        let offered = filled.offered(&words);
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            let Some(long) = argument.get_long() else { continue };
            assert!(offered.contains(&format!("--{long}")), "{path:?} --{long}: {offered:?}");
            *count += 1;
        }
        let below = command.get_subcommands().filter(|below| !below.is_hide_set());
        for below in below.filter(|below| below.get_name() != "help") {
            walk(below, filled, &[path, &[below.get_name().to_owned()]].concat(), count);
        }
    }
    let (filled, mut count) = (Filled::new(), 0);
    walk(&claude_bottle::definition(), &filled, &[], &mut count);
    assert!(count > 50, "{count}");
    filled.end();
}

/// It is asked at every key, so it must neither run a plug-in's code nor say what goes wrong.
#[test]
fn it_loads_no_plugin_and_is_silent_about_what_is_wrong() {
    let home = Home::with("bottles: [");
    home.write("work/claude-bottle.yaml", "bottles: { dev: {} }\n");
    home.write(".local/share/claude-bottle/plugins/claude-bottle-backend-broken.so", "not a library");
    home.write(".local/state/claude-bottle/trust.json", "{");
    home.write(".local/state/claude-bottle/bottles/run-1/record.json", "{");
    for words in
        [&["start", ""][..], &["exec", ""], &["logs", ""], &["diff", ""], &["policy", "check", "x", ""], &[]]
    {
        let mut arguments = vec!["complete", "--", "claude-bottle"];
        arguments.extend(words);
        let output = home.call(&arguments);
        assert_code(&output, 0);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{words:?}");
    }
    let output = home.call(&["complete", "--", "claude-bottle", "start", "x", "--backend", ""]);
    assert_eq!(stdout(&output), "broken\t\nfake\t\n");
    // Every call of a plug-in is logged.
    let output =
        home.call_with(&["complete", "--", "claude-bottle", "exec", ""], &[("CLAUDE_BOTTLE_LOG", "debug")]);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("opened"));
}
