//! The rules of docs/style.md that a program can check.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

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
    let allowed = ["host/src/ui.rs", "host/src/terminal.rs"];
    let asks_only = |line: &str| line.contains("is_terminal()") || line.contains("rustix::stdio::");
    check("only ui.rs prints, and terminal.rs restores", |path, text| {
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
        sources.iter().any(|(path, text)| is_test(path) && text.contains(&definition))
    };
    let missing: Vec<_> = named.into_iter().filter(|name| !is_there(name)).collect();
    assert!(missing.is_empty(), "no such test: {missing:?}");
}
