//! The search order, what is shadowed, and what the list says.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use claude_bottle::plugins::{Identity, Origin, Pins, SearchInputs, SearchPath, Status, registry};
use serde_json::Value;

use crate::support::{Place, build};

/// A data directory, an installation and a variable, all with the same backend.
struct Machine {
    place: Place,
}

impl Machine {
    fn new() -> Self {
        let place = Place::new();
        for directory in ["variable", "data/plugins", "prefix/lib/claude-bottle/plugins"] {
            fs::create_dir_all(place.path().join(directory)).unwrap();
            let file = place.path().join(directory).join("libclaude_bottle_backend_fake.so");
            fs::copy(build::fake(), file).unwrap();
        }
        Self { place }
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.place.path().canonicalize().unwrap().join(relative)
    }

    fn search(&self) -> SearchPath {
        SearchPath::new(SearchInputs {
            plugin_path: Some(OsString::from(self.path("variable"))),
            data_dir: Some(self.path("data")),
            executable: Some(self.path("prefix/bin/claude-bottle")),
            identity: Identity::current(),
        })
    }

    fn list(&self) -> Vec<registry::Entry> {
        registry::list(&self.search(), &Pins::default())
    }
}

#[test]
fn the_first_hit_wins_and_the_others_are_listed_as_shadowed() {
    let machine = Machine::new();
    let name = "libclaude_bottle_backend_fake.so";
    let all: Vec<_> = ["variable", "data/plugins", "prefix/lib/claude-bottle/plugins"]
        .map(|directory| machine.path(directory).join(name))
        .into();
    let [entry] = &machine.list()[..] else { panic!("one backend, one entry") };
    assert_eq!((entry.origin, &entry.path, &entry.shadowed[..]), (Origin::PluginPath, &all[0], &all[1..]));
    assert_eq!(registry::load(&machine.search(), &Pins::default(), "fake").unwrap().path, all[0]);

    fs::remove_file(&all[0]).unwrap();
    let [entry] = &machine.list()[..] else { panic!("one backend, one entry") };
    assert_eq!((entry.origin, &entry.path), (Origin::DataDir, &all[1]));

    fs::remove_file(&all[1]).unwrap();
    assert_eq!(machine.list()[0].origin, Origin::Installed);
}

#[test]
fn a_bad_first_hit_is_an_error_and_not_skipped() {
    let machine = Machine::new();
    fs::write(machine.path("variable/libclaude_bottle_backend_fake.so"), "text").unwrap();
    let error = registry::load(&machine.search(), &Pins::default(), "fake").unwrap_err();
    assert_eq!(error.code(), "not-elf");
}

#[test]
fn the_plain_name_wins_over_cargos_in_one_directory() {
    let place = Place::with_fake();
    let cargos = place.path().join("libclaude_bottle_backend_fake.so");
    fs::copy(build::fake(), &cargos).unwrap();
    let [entry] = &place.list()[..] else { panic!("one backend, one entry") };
    assert_eq!(entry.path, place.file("fake").canonicalize().unwrap());
    assert_eq!(entry.shadowed, [cargos]);
}

#[test]
fn a_freshly_built_file_is_found_beside_the_binary_of_the_build_tree() {
    let executable = build::fake().with_file_name("claude-bottle");
    let search = SearchPath::new(SearchInputs {
        executable: Some(executable),
        identity: Identity::current(),
        ..SearchInputs::default()
    });
    assert_eq!(search.directories()[0].origin, Origin::BuildTree);
    registry::load(&search, &Pins::default(), "fake").unwrap();
}

#[test]
fn the_list_says_what_a_user_asks_and_reads_as_json() {
    let place = Place::with_fake();
    fs::write(place.file("bad"), "text").unwrap();
    let json: Value = serde_json::to_value(place.list()).unwrap();
    let (bad, fake) = (&json[0], &json[1]);
    assert_eq!(bad["status"], "refused");
    assert_eq!(bad["code"], "not-elf");
    assert_eq!(bad["reason"], "it is not a shared library (text, 4 bytes)");
    assert!(bad["hints"][0].as_str().unwrap().contains("install the plug-in again"));
    assert_eq!(bad["version"], Value::Null);
    assert_eq!(fake["name"], "fake");
    assert_eq!(fake["version"], "0.1.0");
    assert_eq!(fake["contract"], "1.1");
    assert_eq!(fake["origin"], "plugin-path");
    assert_eq!(fake["status"], "usable");
    assert_eq!(fake["pinned"], false);
    assert_eq!(fake["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(fake["shadowed"], serde_json::json!([]));
    assert!(fake["compiler"].as_str().unwrap().starts_with("rustc version "), "{fake}");
    assert!(fake["needed"].as_array().unwrap().iter().any(|library| library == "libc.so.6"));
}

#[test]
fn directories_that_are_not_there_are_no_fault_of_the_list() {
    let place = Place::with_fake();
    let paths = std::env::join_paths([&place.path().join("gone"), place.path()]).unwrap();
    let search = SearchPath::new(SearchInputs {
        plugin_path: Some(paths),
        identity: Identity::current(),
        ..SearchInputs::default()
    });
    assert_eq!(registry::list(&search, &Pins::default())[0].status, Status::Usable);
    let text = crate::support::full_text(&registry::load(&search, &Pins::default(), "docker").unwrap_err());
    assert!(text.contains("does not exist"), "{text}");
}
