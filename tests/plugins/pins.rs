//! A pinned name takes one content and no other.

use std::fs;
use std::io::Write;

use claude_bottle::plugins::{Pins, pin, registry};

use crate::support::{Place, assert_says, c};

#[test]
fn a_pinned_backend_is_loaded_until_its_content_changes() {
    let mut place = Place::with_fake();
    let file = place.path().join("pins/plugins.json");
    let hash = registry::hash(&place.search(), "fake").unwrap();
    pin::pin(&file, "fake", &hash).unwrap();
    place.pins = Pins::read(&file).unwrap();

    place.load("fake").unwrap();
    let entry = &place.list()[0];
    assert!(entry.pinned);
    assert_eq!(entry.sha256.as_deref(), Some(hash.as_str()));

    // What follows the sections is never read by anybody, and counts all the same.
    fs::File::options().append(true).open(place.file("fake")).unwrap().write_all(b"\0").unwrap();
    let text = place.refused("fake", "pinned");
    assert_says(&text, &["pinned to sha256", &hash, "claude-bottle plugin pin fake"]);

    pin::unpin(&file, "fake").unwrap();
    place.pins = Pins::read(&file).unwrap();
    place.load("fake").unwrap();
}

#[test]
fn another_file_that_comes_first_is_refused_for_a_pinned_name_before_its_code_runs() {
    let mut place = Place::with_fake();
    let file = place.path().join("plugins.json");
    let hash = registry::hash(&place.search(), "fake").unwrap();
    place.pins = pin::pin(&file, "fake", &hash).unwrap();
    let marker = place.path().join("its-code-ran");
    fs::remove_file(place.file("fake")).unwrap();
    c::library(&place.file("fake"), &format!("{}{}", c::note("fake", "1.0"), c::constructor(&marker)), &[]);
    place.refused("fake", "pinned");
    assert!(!marker.exists());
    // Without the pin the same file gets as far as its constructor, so the pin is what stopped it.
    place.pins = Pins::default();
    place.fails_to_load("fake", "no-root-symbol");
    assert!(marker.exists());
}

#[test]
fn a_bad_file_cannot_be_pinned() {
    let place = Place::new();
    fs::write(place.file("fake"), "text").unwrap();
    assert_eq!(registry::hash(&place.search(), "fake").unwrap_err().code(), "not-elf");
    assert_eq!(registry::hash(&place.search(), "gone").unwrap_err().code(), "not-found");
}
