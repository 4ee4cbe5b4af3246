//! The links of the documents: each leads to a file that is there and to a heading that it has, and the book has every page.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::root;

/// Returns the documents below a directory.
fn pages_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(pages_below(&path)),
            false => found.push(path),
        }
    }
    found.retain(|path| path.extension().is_some_and(|end| end == "md"));
    found
}

fn pages() -> Vec<PathBuf> {
    let top = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    let top = top.filter(|path| path.extension().is_some_and(|end| end == "md"));
    pages_below(&root().join("docs")).into_iter().chain(top).chain([root().join("tests/README.md")]).collect()
}

/// Returns the lines of a document without its blocks of code, and what stands in backticks.
fn prose(text: &str) -> Vec<String> {
    let mut is_code = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        is_code ^= line.starts_with("```");
        if !is_code && !line.starts_with("    ") && !line.starts_with("```") {
            lines.push(line.split('`').step_by(2).collect());
        }
    }
    lines
}

/// Returns the anchors of a document's headings, as forges and mdBook make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|char| char.is_alphanumeric() || matches!(char, '-' | '_' | ' '));
        kept.map(|char| if char == ' ' { '-' } else { char }).collect()
    };
    headings.map(anchor).collect()
}

/// Returns where the links of a line lead.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target)
}

/// Says what is wrong with a link of a page.
fn broken(page: &Path, text: &str, target: &str) -> Option<&'static str> {
    if target.contains("://") {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = page.with_file_name(file);
    let there = match file {
        "" => text.to_owned(),
        _ if !path.exists() => return Some("there is no such file"),
        _ => fs::read_to_string(&path).unwrap_or_default(),
    };
    (!anchor.is_empty() && !anchors(&there).contains(anchor)).then_some("there is no such heading")
}

#[test]
fn every_link_of_the_documents_leads_to_a_file_and_a_heading() {
    let (mut seen, mut wrong) = (0, Vec::new());
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for line in prose(&text) {
            for target in targets(&line) {
                seen += 1;
                let why = broken(&page, &text, target);
                wrong.extend(why.map(|why| format!("{}: {target}: {why}", page.display())));
            }
        }
    }
    assert!(seen > 100, "{seen}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The book is made of `docs` alone.
#[test]
fn a_page_of_the_book_leads_to_no_file_outside_of_it() {
    let docs = root().join("docs");
    let mut wrong = Vec::new();
    for page in pages_below(&docs) {
        for line in prose(&fs::read_to_string(&page).unwrap()) {
            let files = targets(&line).filter(|target| !target.contains("://") && !target.starts_with('#'));
            for file in files.map(|target| target.split('#').next().unwrap()) {
                let there = page.with_file_name(file).canonicalize();
                if !there.is_ok_and(|there| there.starts_with(&docs)) {
                    wrong.push(format!("{}: {file}", page.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let page = root().join("docs/security.md");
    let text = "# Title\n\n## A heading, `with` code\n";
    for right in ["egress.md", "#title", "#a-heading-with-code", "https://example.com/x", "../README.md#use"]
    {
        assert_eq!(broken(&page, text, right), None, "{right}");
    }
    for wrong in ["not-there.md", "#other", "egress.md#not-there", "README.md"] {
        assert!(broken(&page, text, wrong).is_some(), "{wrong}");
    }
    let line = "see [a](b.md) and [c](d.md#e)";
    assert_eq!(targets(line).collect::<Vec<_>>(), ["b.md", "d.md#e"]);
}

/// A page that the summary does not name is not in the book. Decisions are looked up by their numbers, and need not be in it at once.
#[test]
fn the_book_has_every_page_of_the_documents() {
    let docs = root().join("docs");
    let summary = fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let all: Vec<PathBuf> = summary.lines().flat_map(targets).map(|target| docs.join(target)).collect();
    let named: BTreeSet<_> = all.iter().filter(|page| page.parent() == Some(&docs)).cloned().collect();
    let mut there: BTreeSet<_> =
        pages_below(&docs).into_iter().filter(|page| page.parent() == Some(&docs)).collect();
    assert!(there.remove(&docs.join("SUMMARY.md")));
    assert_eq!(named, there);
    assert_eq!(all.len(), all.iter().collect::<BTreeSet<_>>().len(), "a page is named twice");
    assert!(fs::read_to_string(root().join("book.toml")).unwrap().contains("src = \"docs\""));
}
