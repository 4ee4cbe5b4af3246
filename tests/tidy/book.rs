//! The built book: a link that a forge follows may lead nowhere in it. `make book` builds it and runs this.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

use super::root;

/// Made by mdBook of all pages, without their places.
const OF_ALL: [&str; 3] = ["print.html", "toc.html", "404.html"];

fn pages_below(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => pages_below(&path, found),
            false if path.extension().is_some_and(|end| end == "html") => found.push(path),
            false => {}
        }
    }
}

/// Says what is wrong with a link of a page, if it leads into the book.
fn broken(page: &Path, text: &str, target: &str) -> Option<&'static str> {
    if target.contains("://") || target.starts_with("data:") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = page.with_file_name(file);
    let there = match file {
        "" => text.to_owned(),
        _ if !path.is_file() => return Some("the book has no such file"),
        _ => fs::read_to_string(&path).unwrap_or_default(),
    };
    let is_there = anchor.is_empty() || there.contains(&format!("id=\"{anchor}\""));
    (!is_there).then_some("the page has no such heading")
}

#[test]
#[ignore = "needs the built book: make book"]
fn every_link_of_the_book_leads_to_a_page_and_a_heading() {
    let (link, book) = (Regex::new(r#"(?:href|src)="([^"]*)""#).unwrap(), root().join("target/book"));
    let mut pages = Vec::new();
    pages_below(&book, &mut pages);
    pages.retain(|page| !OF_ALL.iter().any(|name| page.ends_with(name)));
    assert!(pages.len() > 50, "{} pages", pages.len());
    let mut wrong = BTreeSet::new();
    for page in &pages {
        let text = fs::read_to_string(page).unwrap();
        for found in link.captures_iter(&text) {
            let target = found[1].replace("&amp;", "&");
            let shown = || format!("{}: {target}", page.strip_prefix(&book).unwrap().display());
            wrong.extend(broken(page, &text, &target).map(|why| format!("{}: {why}", shown())));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.into_iter().collect::<Vec<_>>().join("\n"));
}
