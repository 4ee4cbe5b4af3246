//! The rules of docs/style.md that a program can check.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "tidy/book.rs"]
mod book;
#[path = "tidy/claims.rs"]
mod claims;
#[path = "tidy/devcontainer.rs"]
mod devcontainer;
#[path = "tidy/links.rs"]
mod links;
#[path = "tidy/performance.rs"]
mod performance;
#[path = "tidy/release.rs"]
mod release;
#[path = "tidy/workflows.rs"]
mod workflows;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// No production file is longer.
const MOST_LINES: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Returns every Rust file of the project, relative to its root, with its text.
fn sources() -> Vec<(String, String)> {
    let root = root();
    let mut found = Vec::new();
    for top in ["host", "plugin-api", "plugins", "tests"] {
        collect(&root, &root.join(top), &mut found);
    }
    assert!(found.len() > 50, "the search found {} files only", found.len());
    found
}

fn collect(root: &Path, dir: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let name = entry.file_name().into_string().unwrap();
        if path.is_dir() && !matches!(name.as_str(), "target" | ".cache") {
            collect(root, &path, found);
        } else if name.ends_with(".rs") {
            let relative = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            found.push((relative, fs::read_to_string(&path).unwrap()));
        }
    }
}

fn is_test(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap();
    path.starts_with("tests/")
        || path.contains("/tests/")
        || name == "tests.rs"
        || name.ends_with("_tests.rs")
}

/// Returns the lines before the tests at the end of a file.
fn production(text: &str) -> impl Iterator<Item = &str> {
    text.lines().take_while(|line| line.trim() != "#[cfg(test)]" || !text.contains("mod tests {"))
}

/// Fails with one line for each file that breaks the rule.
fn check(rule: &str, breaks: impl Fn(&str, &str) -> bool) {
    let broken: Vec<_> =
        sources().into_iter().filter(|(path, text)| breaks(path, text)).map(|(path, _)| path).collect();
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

#[test]
fn every_file_says_what_it_is() {
    check("a file opens with `//!`", |_, text| !text.starts_with("//!"));
}

#[test]
fn no_production_file_is_too_long() {
    check("a file has at most 500 lines before its tests", |path, text| {
        !is_test(path) && production(text).count() > MOST_LINES
    });
}

#[test]
fn only_ui_prints_in_the_host() {
    let printing = ["println!", "eprintln!", "print!(", "eprint!(", "io::stdout()", "io::stderr()"];
    let allowed = ["host/src/ui/mod.rs", "host/src/ui/ask.rs", "host/src/ui/terminal.rs"];
    let asks_only = |line: &str| line.contains("is_terminal()") || line.contains("rustix::stdio::");
    check("only the user interface prints", |path, text| {
        path.starts_with("host/src/")
            && !allowed.contains(&path)
            && production(text)
                .any(|line| !asks_only(line) && printing.iter().any(|word| line.contains(word)))
    });
}

#[test]
fn only_the_boundary_names_abi_stable() {
    check("only plugin-api/src/abi names abi_stable", |path, text| {
        !path.starts_with("plugin-api/src/abi")
            && !is_test(path)
            && text.lines().any(|line| !line.trim_start().starts_with("//") && line.contains("abi_stable::"))
    });
}

#[test]
fn provisioners_know_no_engine() {
    check("a provisioner never names the engine", |path, text| {
        path.contains("/src/provision/") && text.contains("crate::engine")
    });
}

#[test]
fn no_backend_writes_guard_secrets_or_ssh_settings_by_itself() {
    const BACKENDS: [&str; 6] = ["bubblewrap", "directory", "docker", "fake", "kubernetes", "podman"];
    const THE_KITS: [&str; 4] = ["GuardSecret", "ProxyCommand", "IdentityAgent", "UserKnownHostsFile"];
    check("what a guard may be shown, and settings of ssh, are the kit's to write", |path, text| {
        BACKENDS.iter().any(|backend| path.starts_with(&format!("plugins/{backend}/src/")))
            && !is_test(path)
            && production(text).any(|line| THE_KITS.iter().any(|word| line.contains(word)))
    });
}

#[test]
fn host_and_plugins_do_not_name_each_other() {
    check("the host names no plug-in crate", |path, text| {
        path.starts_with("host/src/")
            && text.contains("claude_bottle_backend_")
            && text.lines().any(|line| line.trim_start().starts_with("use claude_bottle_backend_"))
    });
    check("a plug-in does not name the host", |path, text| {
        path.starts_with("plugins/") && !is_test(path) && text.contains("use claude_bottle::")
    });
}

#[test]
fn unsafe_code_is_where_it_is_expected() {
    check("unsafe lives in plugin-api/src/abi and host/src/plugins/load.rs", |path, text| {
        let home =
            path.starts_with("plugin-api/src/abi") || path == "host/src/plugins/load.rs" || is_test(path);
        !home
            && text.lines().any(|line| {
                let line = line.trim_start();
                !line.starts_with("//") && (line.contains("unsafe {") || line.contains("unsafe fn"))
            })
    });
}

#[test]
fn only_apply_and_its_undo_write_below_a_users_directory() {
    let writing =
        ["renameat(", "renameat_with(", "unlinkat(", "mkdirat(", "symlinkat(", "linkat(", "OFlags::CREATE"];
    check("only results/apply and results/restore.rs write by descriptors", |path, text| {
        path.starts_with("host/src/")
            && !path.starts_with("host/src/results/apply/")
            && path != "host/src/results/restore.rs"
            && production(text).any(|line| writing.iter().any(|word| line.contains(word)))
    });
}

#[test]
fn a_bottle_is_closed_only_when_its_work_is_saved_or_given_up() {
    check("only run/closing.rs closes a bottle, in `saved` and in `without_saving`", |path, text| {
        path.starts_with("host/src/")
            && path != "host/src/run/closing.rs"
            && production(text).any(|line| line.contains(".close(call"))
    });
}

#[test]
fn nothing_unpacks_an_archive() {
    check("the host reads an archive entry by entry and never unpacks one", |path, text| {
        path.starts_with("host/src/") && production(text).any(|line| line.contains(".unpack"))
    });
}

#[test]
fn only_one_module_runs_git_for_a_result() {
    check("only results/git/run.rs starts a program for a result", |path, text| {
        path.starts_with("host/src/results/")
            && !is_test(path)
            && path != "host/src/results/git/run.rs"
            && production(text).any(|line| line.contains("Command::new"))
    });
}

/// It is one name for all engines of a machine, and may be another's by now.
#[test]
fn no_test_relies_on_the_bridge_that_engines_share() {
    let shared = concat!("docker", "0");
    check("a test serves on the tests' own bridge", |path, text| {
        let is_code = |line: &&str| !line.trim_start().starts_with("//");
        // That one takes it away.
        path != "tests/e2e/engine/bridge.rs"
            && is_test(path)
            && text.lines().filter(is_code).any(|line| line.contains(shared))
    });
}

#[test]
fn every_test_named_in_the_security_page_exists() {
    let page = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let sources = sources();
    let named: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix('|')?.rsplit('|').nth(1))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    assert!(named.len() > 40, "{named:?}");
    let is_there = |name: &str| {
        let definition = format!("fn {name}(");
        // A small file has its tests at its end.
        let has_tests = |path: &str, text: &str| is_test(path) || text.contains("#[cfg(test)]\nmod tests {");
        sources.iter().any(|(path, text)| has_tests(path, text) && text.contains(&definition))
    };
    let missing: Vec<_> = named.into_iter().filter(|name| !is_there(name)).collect();
    assert!(missing.is_empty(), "no such test: {missing:?}");
}

/// Words that docs/style.md keeps out of messages, help and documents.
const AVOIDED: [&str; 8] = ["anew", "beside", "mend", "mends", "nobody", "whoever", "is none", "in vain"];

/// Returns the first word of the list that the text has; "is no" counts but in "there is no" and "is no longer".
fn avoided(text: &str) -> Option<&'static str> {
    let words: Vec<String> = text
        .split(|c: char| !c.is_alphanumeric() && c != '\'' && c != '_' && c != '-')
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let before = |at: usize| at.checked_sub(1).map_or("", |at| words[at].as_str());
    let said = |wanted: &str| {
        let wanted: Vec<&str> = wanted.split(' ').collect();
        let found = words.windows(wanted.len()).position(|window| window == wanted.as_slice());
        found.is_some_and(|at| before(at) != "there")
    };
    let is_no = words.windows(3).enumerate().any(|(at, window)| {
        window[0] == "is" && window[1] == "no" && window[2] != "longer" && before(at) != "there"
    });
    AVOIDED.into_iter().find(|word| said(word)).or(is_no.then_some("is no"))
}

/// Returns the literals of a line of code that are sentences, and the help of a command or an option.
fn messages<'a>(path: &str, line: &'a str) -> Vec<&'a str> {
    let trimmed = line.trim_start();
    if path.starts_with("host/src/cli/") && trimmed.starts_with("/// ") && line.starts_with("    ") {
        return vec![trimmed];
    }
    if trimmed.starts_with("//") {
        return Vec::new();
    }
    line.split('"').skip(1).step_by(2).filter(|literal| literal.contains(' ')).collect()
}

#[test]
fn messages_and_documents_keep_to_the_words_of_the_style_page() {
    let mut wrong = Vec::new();
    for (path, text) in sources().iter().filter(|(path, _)| !is_test(path)) {
        for (number, line) in production(text).enumerate() {
            let found = messages(path, line).into_iter().find_map(avoided);
            wrong.extend(found.map(|word| format!("{path}:{}: `{word}`", number + 1)));
        }
    }
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = docs.chain(["README.md", "CHANGELOG.md"].map(|name| root().join(name)));
    for page in
        pages.filter(|page| page.extension().is_some_and(|end| end == "md") && !page.ends_with("style.md"))
    {
        for (number, line) in fs::read_to_string(&page).unwrap().lines().enumerate() {
            let prose: String = line.split('`').step_by(2).collect();
            wrong.extend(avoided(&prose).map(|word| format!("{}:{}: `{word}`", page.display(), number + 1)));
        }
    }
    assert!(wrong.is_empty(), "docs/style.md has other words for these:\n  {}", wrong.join("\n  "));
}

#[test]
fn the_word_list_finds_what_it_is_to_find_and_no_more() {
    for wrong in ["`x` is no port", "it is written anew", "Whoever may read it", "what mends it"] {
        assert!(avoided(wrong).is_some(), "{wrong}");
    }
    for right in ["there is no manifest", "it is no longer there", "there is none", "`x` is not a valid port"]
    {
        assert_eq!(avoided(right), None, "{right}");
    }
}

#[test]
fn make_test_runs_every_test_binary_once() {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--locked", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let mut there: Vec<_> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|package| package["targets"].as_array().unwrap())
        .filter(|target| target["kind"][0] == "test")
        .map(|target| target["name"].as_str().unwrap().to_owned())
        .collect();
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let mut run: Vec<_> = ["CONTAINER_TESTS := ", "OTHER_TESTS := "]
        .iter()
        .flat_map(|list| makefile.lines().find_map(|line| line.strip_prefix(list)).unwrap().split(' '))
        .map(str::to_owned)
        .collect();
    there.sort();
    run.sort();
    assert_eq!(run, there);
}
