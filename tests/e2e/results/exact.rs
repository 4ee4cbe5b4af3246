//! What comes home is exactly what the bottle had: names, modes, links, and whole published trees that were changed at random.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use super::{document, home, results, start};
use crate::support::backend::{Backend, on_each_backend};
use crate::support::home::Home;
use crate::support::{assert_code, run, stderr, stdout};

on_each_backend!(
    names_modes_and_links_come_home_exactly,
    the_tree_of_a_published_crate_comes_home_exactly,
    #[ignore = "takes the registries and minutes; run `make test-trees`"]
    large_published_trees_come_home_exactly,
    #[ignore = "writes 12 GB; run `make test-trees`"]
    a_file_of_more_than_four_gib_comes_home_exactly,
);

/// What the agents of these tests do: changes at random, and a list of what there is.
const SHAKE: &str = include_str!("shake.pl");

fn names_modes_and_links_come_home_exactly(backend: Backend) {
    let agent = &format!("e2e-exact-{}", backend.name());
    let home = home(agent);
    let script = "printf x >\"$(printf 'a\\nb')\"; printf y >\"$(printf '\\377')\"; printf z >\"$(printf '%0255d' 7)\"; mkdir empty; \
                  ln -s /etc/passwd absolute; ln -s nowhere dangling; ln -s ./a//b/./c/ spelt; ln kept hard; printf secret >locked; chmod 000 locked; \
                  mkdir shut; printf in >shut/x; chmod 000 shut; mkfifo fifo; printf '\\0\\1' >binary; : >none";
    let output = run(&mut start(backend, &home, agent, script));
    assert_code(&output, 0);
    let name = results(&home)[0]["run"].as_str().unwrap().to_owned();
    let document = document(&home, &name);
    let files = document["files"].as_array().unwrap();
    let path = |file: &Value| {
        let hex = file["path_hex"].as_str().map(|hex| format!("hex {hex}"));
        hex.unwrap_or_else(|| file["path"].as_str().unwrap().to_owned())
    };
    let mut paths: Vec<_> = files.iter().map(path).collect();
    paths.sort();
    let long = format!("{:0255}", 7);
    let mut expected = vec![
        "a\nb", "absolute", "binary", "dangling", "empty", "hard", "hex ff", "locked", "none", "shut",
        "shut/x", "spelt", &long,
    ];
    expected.sort_unstable();
    assert_eq!(paths, expected);
    let of = |wanted: &str| files.iter().find(|file| path(file) == wanted).unwrap()["new"].clone();
    assert_eq!(of("absolute")["target"]["path"], "/etc/passwd");
    assert_eq!(of("spelt")["target"]["path"], "./a//b/./c/");
    assert_eq!(of("hard")["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(of("locked")["size"], 6);
    assert_eq!(document["complete"], true);
    // The FIFO is said, by the backend or by the archive.
    let left_out = document["left_out"].to_string();
    assert!(left_out.contains("\"special\":1") || left_out.contains("FIFO"), "{left_out}");
    assert_code(&run(&mut home.command(&["results", "verify", &name])), 0);
    backend.assert_nothing_left(&home, agent);
}

/// What is in a tree, a line of text for each path.
type Tree = BTreeMap<String, String>;

/// Reads what `shake.pl` printed of one moment.
fn tree(printed: &str, when: &str) -> Tree {
    let lines = printed.lines().filter_map(|line| line.strip_prefix(when)?.strip_prefix(' '));
    lines
        .filter_map(|line| line.split_once(' '))
        .map(|(path, what)| (path.to_owned(), what.to_owned()))
        .collect()
}

/// Returns what is in the working directory, by the same program.
fn here(home: &Home) -> Tree {
    let mut perl = Command::new("perl");
    let output = run(perl.args(["-e", SHAKE, "1", "0"]).current_dir(home.work()));
    assert!(output.status.success(), "{}", stderr(&output));
    tree(&stdout(&output), "after")
}

/// Returns what is to be here afterwards: what the bottle had, and what it never had (secrets stay outside).
fn expected(start: &Tree, printed: &str) -> Tree {
    let (before, after) = (tree(printed, "before"), tree(printed, "after"));
    let mut expected = after;
    expected.extend(
        start.iter().filter(|(path, _)| !before.contains_key(*path)).map(|(a, b)| (a.clone(), b.clone())),
    );
    // A directory in which something of the user's is stays.
    let parents: Vec<_> = expected
        .keys()
        .flat_map(|path| path.match_indices('/').map(|(at, _)| path[..at].to_owned()))
        .collect();
    for parent in parents {
        expected.entry(parent).or_insert("d".to_owned());
    }
    expected
}

/// Copies a tree in, has it changed in a bottle, takes the result and undoes that: for each seed as exactly as the bottle had it.
fn there_and_back(backend: Backend, source: &Path, seeds: &[u64], times: usize) {
    let name = source.file_name().unwrap().to_string_lossy().replace(['.', '_'], "-").to_lowercase();
    let agent = &format!("e2e-tree-{}-{}", &name[..name.len().min(12)], backend.name());
    let manifest = format!(
        "bottles: {{ dev: {{ egress: {{ allowlist: [] }} }} }}\nagents: {{ {agent}: {{ bottle: dev, command: [perl, -e] }} }}\n"
    );
    let home = Home::new(&manifest);
    let copied = run(Command::new("cp").arg("-a").arg(source.join(".")).arg(home.work()));
    assert!(copied.status.success(), "{}", stderr(&copied));
    let start_tree = here(&home);
    for seed in seeds {
        let arguments = [
            "--quiet",
            "start",
            agent,
            "--cwd",
            "--ignored",
            "--yes",
            "--",
            SHAKE,
            &seed.to_string(),
            &times.to_string(),
        ];
        let output = run(&mut backend.command(&home, &arguments));
        assert_code(&output, 0);
        let run_id = results(&home)[0]["run"].as_str().unwrap().to_owned();
        let saved = document(&home, &run_id);
        assert_eq!(saved["complete"], true, "{name}, seed {seed}: {}", saved["left_out"]);
        let apply = |more: &[&str]| {
            let arguments = [&["apply", &run_id, "-y", "--accept", "runs,steers,odd"][..], more].concat();
            assert_code(&run(&mut backend.command(&home, &arguments)), 0);
        };
        apply(&[]);
        let withheld: Vec<_> =
            saved["files"].as_array().unwrap().iter().filter(|file| file["withheld"] == true).collect();
        assert!(withheld.is_empty(), "{withheld:?}");
        assert_same(&here(&home), &expected(&start_tree, &stdout(&output)), &format!("{name}, seed {seed}"));
        assert_code(&run(&mut backend.command(&home, &["apply", &run_id, "--undo", "-y"])), 0);
        assert_same(&here(&home), &start_tree, &format!("{name}, seed {seed}, undone"));
        assert_code(&run(&mut backend.command(&home, &["discard", "-y", &run_id])), 0);
    }
    backend.assert_nothing_left(&home, agent);
}

#[track_caller]
fn assert_same(found: &Tree, expected: &Tree, when: &str) {
    let differ: Vec<_> = expected
        .keys()
        .chain(found.keys())
        .filter(|path| found.get(*path) != expected.get(*path))
        .map(|path| format!("{path}: {:?}, expected {:?}", found.get(path), expected.get(path)))
        .take(10)
        .collect();
    assert!(differ.is_empty(), "{when}:\n{}", differ.join("\n"));
}

fn the_tree_of_a_published_crate_comes_home_exactly(backend: Backend) {
    there_and_back(backend, &published("rustix-1."), &[1, 2], 150);
}

/// Finds the source of a crate that this workspace is built with.
pub(super) fn published(name: &str) -> PathBuf {
    let registry = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let registry = registry.or_else(|| Some(std::env::home_dir()?.join(".cargo"))).unwrap();
    let indexes = fs::read_dir(registry.join("registry/src")).unwrap().map(|entry| entry.unwrap().path());
    let crates = indexes.flat_map(|index| fs::read_dir(index).unwrap()).map(|entry| entry.unwrap().path());
    crates.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(name)).max().unwrap()
}

/// The large ones, which `tests/setup/trees.sh` gets.
fn large_published_trees_come_home_exactly(backend: Backend) {
    let trees = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/trees");
    let mut trees: Vec<_> = fs::read_dir(trees).unwrap().map(|entry| entry.unwrap().path()).collect();
    trees.retain(|tree| tree.is_dir());
    trees.sort();
    assert!(trees.len() >= 7, "tests/setup/trees.sh gets them; there are {trees:?}");
    for tree in trees {
        let begun = Instant::now();
        there_and_back(backend, &tree, &[7, 8], 400);
        let took = format!("{} on {}: {:?}\n", tree.display(), backend.name(), begun.elapsed());
        std::io::Write::write_all(&mut std::io::stderr(), took.as_bytes()).unwrap();
    }
}

/// Sizes that no 32 bits hold, and more than a result may have without a word.
fn a_file_of_more_than_four_gib_comes_home_exactly(backend: Backend) {
    let agent = &format!("e2e-large-file-{}", backend.name());
    let home = home(agent);
    let make = "truncate -s 4294967301 large; printf end | dd of=large bs=1 seek=4294967298 conv=notrunc status=none";
    let output = run(&mut start(backend, &home, agent, make));
    assert_code(&output, 125);
    let name = home.runs().remove(0);
    assert!(
        stderr(&output).contains(&format!("claude-bottle save {name} --max SIZE")),
        "{}",
        stderr(&output)
    );
    assert_code(&run(&mut backend.command(&home, &["save", &name, "--max", "5GiB"])), 0);
    assert_eq!(document(&home, &name)["files"][0]["new"]["size"], 4_294_967_301_u64);
    // No binary of that size is searched for secrets.
    assert_code(&run(&mut backend.command(&home, &["apply", &name, "-y", "--accept", "odd"])), 0);
    let same = format!("cd .. && {make} && cmp large work/large");
    assert_code(&run(Command::new("sh").args(["-ec", &same]).current_dir(home.work())), 0);
    assert_code(&run(&mut backend.command(&home, &["apply", &name, "--undo", "-y"])), 0);
    assert!(!home.work().join("large").exists());
    backend.assert_nothing_left(&home, agent);
}
