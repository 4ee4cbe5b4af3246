//! The claims of docs/security.md: each names a test, and those that `verify` tries are its rows.

use std::fs;

use regex::Regex;

use super::root;

/// Returns the rows of the page's tables with tests in their last column, by their cells.
fn claims(page: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()
    };
    let (mut rows, mut is_claims) = (Vec::new(), false);
    for line in page.lines() {
        match line.strip_prefix('|') {
            None => is_claims = false,
            Some(_) if line.starts_with("|---") => {}
            Some(_) if is_claims => rows.push(cells(line)),
            Some(_) => is_claims = cells(line).last().is_some_and(|head| head == "test"),
        }
    }
    rows
}

#[test]
fn every_claim_of_the_security_page_names_a_test() {
    let page = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let claims = claims(&page);
    assert!(claims.len() > 150, "{} claims", claims.len());
    let name = Regex::new("`[a-z][a-z0-9_]{9,}`").unwrap();
    let without: Vec<_> = claims.iter().filter(|cells| !name.is_match(cells.last().unwrap())).collect();
    assert!(without.is_empty(), "without a test: {without:#?}");
}

#[test]
fn the_rows_of_verify_are_claims_of_the_security_page_by_the_same_names() {
    let page = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let section = page.split("## Tried on your machine").nth(1).unwrap().split("\n## ").next().unwrap();
    let named: Vec<_> = claims(section).iter().map(|cells| cells[0].trim_matches('`').to_owned()).collect();
    let source = fs::read_to_string(root().join("host/src/cli/verify/rows.rs")).unwrap();
    let list = source.split("const CLAIMS").nth(1).unwrap().split("\n];").next().unwrap();
    let first = Regex::new(r#"\(\s*"([a-z-]+)","#).unwrap();
    let rows: Vec<_> = first.captures_iter(list).map(|found| found[1].to_owned()).collect();
    assert!(rows.len() > 10 && rows.contains(&"limit-memory".to_owned()), "{rows:?}");
    assert_eq!(named, rows);
}
