//! The screens of docs/first-bottle.md, from a run of what the page tells to type: an empty home, the real CLI, bubblewrap, a stand-in of the API.
//! `UPDATE_EXPECT=1` writes them.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use claude_bottle_standin::{Script, ToolCall};
use regex::Regex;

use crate::first_run::pointed_at;
use crate::support::backend::Backend;
use crate::support::home::{Home, TOKEN};
use crate::support::{run, standin, stdout};

const BEGIN: &str = "<!-- screen: ";
const END: &str = "<!-- end of screen -->";

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/first-bottle.md")
}

/// Runs a line as a shell does on a terminal that has no colours, and returns what is then on it.
fn typed(home: &Home, line: &str) -> String {
    let program = Backend::Bubblewrap.command(home, &[]);
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &format!("exec 2>&1; {line}")]).current_dir(home.work()).env_clear();
    shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    // The program under its own name, as it is installed.
    let bin = home.path().join("bin");
    fs::create_dir_all(&bin).unwrap();
    std::os::unix::fs::symlink(program.get_program(), bin.join("claude-bottle")).ok();
    let path = shell
        .get_envs()
        .find(|(name, _)| *name == "PATH")
        .and_then(|(_, path)| path.map(std::ffi::OsString::from));
    shell.env("PATH", [bin.as_os_str(), ":".as_ref(), &path.unwrap_or_default()].join("".as_ref()));
    shell.env("CLAUDE_BOTTLE_OAUTH_TOKEN", TOKEN).stdin(std::process::Stdio::null());
    format!("$ {line}\n{}", stdout(&run(&mut shell)))
}

/// Replaces what is another one in each run.
fn settled(home: &Home, port: u16, screen: &str) -> String {
    let here = home.path().display().to_string();
    let screen = screen.replace(&here, "/home/me").replace(&port.to_string(), "8080");
    let run = Regex::new(r"\bclaude-[0-9a-f]{8}\b").unwrap();
    let version = Regex::new(r"bubblewrap \d+\.\d+\.\d+").unwrap();
    let screen = run.replace_all(&screen, "claude-89cd07c5");
    let screen = version.replace_all(&screen, "bubblewrap 0.8.0");
    // Other notes say what this machine lacks.
    let is_shown = |line: &&str| !line.starts_with("  note: ") || line.contains("the host's kernel");
    screen.split_inclusive('\n').filter(is_shown).collect()
}

/// What the page shows, by name.
fn screens() -> Vec<(&'static str, String)> {
    let edit = ToolCall::bash("curl -sS http://example.com/ >/dev/null; echo 'It says hello.' >>README.md");
    let reply = "README.md says hello now. example.com could not be reached.".to_owned();
    let api = standin(Backend::Bubblewrap, Script { reply, run: Some(edit) });
    let home = Home::empty();
    fs::write(home.work().join("package.json"), "{}\n").unwrap();
    fs::write(home.work().join("README.md"), "# A project\n").unwrap();
    let settled = |screens: &[String]| settled(&home, api.address().port(), &screens.concat());

    let init = settled(&[typed(&home, "claude-bottle init --yes")]);
    let manifest = home.path().join("claude-bottle.yaml");
    let written = fs::read_to_string(&manifest).unwrap();
    // The limits of a bottle that says nothing are the machine's.
    let limits = "    limits: { cpus: 2, memory: 4GiB }\n    env:\n";
    fs::write(&manifest, pointed_at(&written, api.address()).replacen("    env:\n", limits, 1)).unwrap();
    let start =
        settled(&[typed(&home, "claude-bottle start claude --cwd --print 'README.md should say hello'")]);
    let take = ["claude-bottle diff", "claude-bottle apply --yes", "claude-bottle list active"];
    let take = settled(&take.map(|line| typed(&home, line)));
    let refused = [
        "claude-bottle policy check claude example.com",
        "claude-bottle policy check claude registry.npmjs.org",
    ];
    let refused = settled(&refused.map(|line| typed(&home, line)));
    vec![("init", init), ("start", start), ("take", take), ("refused", refused)]
}

#[test]
fn the_screens_of_the_first_bottle_are_those_of_a_run() {
    let screens = screens();
    let before = fs::read_to_string(page()).unwrap();
    let (mut after, mut rest, mut shown) = (String::new(), before.as_str(), 0);
    while let Some((front, begun)) = rest.split_once(BEGIN) {
        let (name, block) = begun.split_once(" -->\n").unwrap();
        let (_, behind) = block.split_once(END).expect("a screen has its end");
        let (_, screen) = screens.iter().find(|(known, _)| *known == name).expect("the screen is made");
        write!(after, "{front}{BEGIN}{name} -->\n\n```\n{screen}```\n\n{END}").unwrap();
        (rest, shown) = (behind, shown + 1);
    }
    after.push_str(rest);
    assert_eq!(shown, screens.len());
    assert!(!after.contains(TOKEN), "the page has the token");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(page(), &after).unwrap();
    }
    let differs = before.lines().zip(after.lines()).find(|(old, new)| old != new);
    assert!(
        std::env::var_os("UPDATE_EXPECT").is_some() || before == after,
        "docs/first-bottle.md is not what a run shows; UPDATE_EXPECT=1 writes it: {differs:?}"
    );
}
