//! Paths with more than one reading are refused, and patterns compare with the one reading.

use proptest::prelude::*;

use super::*;

fn refused(target: &str, expected: PathError) {
    assert_eq!(RequestPath::read(target), Err(expected), "{target}");
}

fn matches(pattern: &str, target: &str, reading: Reading) -> bool {
    PathPattern::parse(pattern).unwrap().matches(&RequestPath::read(target).unwrap(), reading)
}

#[test]
fn what_servers_could_read_in_two_ways_is_refused() {
    for target in ["", "x", "*", "http://a.example/", "?x"] {
        refused(target, PathError::NotAbsolute);
    }
    for target in [
        "/.",
        "/..",
        "/a/../b",
        "/a/./b",
        "/%2e%2E/b",
        "/.%2e",
        "/..;/b",
        "/..;x=1",
        "/%2e%2e%3b/b",
        "/..%20/b",
    ] {
        refused(target, PathError::Dots);
    }
    for target in ["//", "//a", "/a//b", "/a//"] {
        refused(target, PathError::EmptySegment);
    }
    for target in ["/a\\b", "/..\\b", "/a%5cb", "/a%5C", "/a%2fb", "/%2F"] {
        refused(target, PathError::Separator);
    }
    for target in ["/%", "/%2", "/%zz", "/a%", "/%252e%252e/b", "/%252f", "/%2541", "/%25%32%65"] {
        refused(target, PathError::Escape);
    }
    for target in ["/%00", "/a%0ab", "/%7f", "/%c2%80"] {
        refused(target, PathError::Control);
    }
    for target in ["/%ff", "/%c0%af", "/%c0%ae%c0%ae/b"] {
        refused(target, PathError::NotUtf8);
    }
    refused("/a#b", PathError::Query);
}

#[test]
fn an_escape_and_its_character_are_one_reading() {
    for (one, other) in
        [("/%61/b", "/a/b"), ("/%40s/p", "/@s/p"), ("/a%20b?x", "/a%20b"), ("/a?x=/../y", "/a")]
    {
        assert_eq!(RequestPath::read(one).unwrap(), RequestPath::read(other).unwrap(), "{one}");
    }
    assert_ne!(RequestPath::read("/a").unwrap(), RequestPath::read("/a/").unwrap());
    assert_ne!(RequestPath::read("/100%25zz").unwrap(), RequestPath::read("/100").unwrap());
}

#[test]
fn patterns_match_by_segments() {
    let cases = [
        ("/", "/", true),
        ("/", "/a", false),
        ("/a", "/a", true),
        ("/a", "/a/", false),
        ("/a", "/ab", false),
        ("/a/*", "/a/b", true),
        ("/a/*", "/a", false),
        ("/a/*", "/a/", false),
        ("/a/*", "/a/b/c", false),
        ("/a/**", "/a", true),
        ("/a/**", "/a/", true),
        ("/a/**", "/a/b/c", true),
        ("/a/**", "/ab", false),
        ("/**", "/", true),
        ("/**/x", "/x", true),
        ("/**/x", "/a/b/x", true),
        ("/**/x", "/a/b/x/y", false),
        ("/**/x/**/y", "/x/x/a/y/b/y", true),
        ("/**/x/**/y", "/x/a/b", false),
        ("/**/a/b", "/a/a/b", true),
        ("/*/**/c", "/a/c", true),
        ("/*/**/c", "/c", false),
        ("/%2A", "/*", true),
        ("/%2A", "/a", false),
        ("/A", "/a", false),
    ];
    for (pattern, target, expected) in cases {
        assert_eq!(matches(pattern, target, Reading::Exact), expected, "{pattern} {target}");
    }
}

#[test]
fn a_wide_reading_is_that_of_any_server() {
    for target in [
        "/o/r.git/git-receive-pack",
        "/git-receive-pack",
        "/o/r.git/git-receive-pack/",
        "/o/r.git/git-receive-pack;x=1",
        "/o/r.git/GIT-Receive-Pack",
        "/o/r.git/git%2dreceive%2Dpack",
        "/o/r.git/git-receive-pack%20",
        "/o/r.git/git-receive-pack?x",
    ] {
        assert!(matches("/**/git-receive-pack", target, Reading::Wide), "{target}");
    }
    assert!(!matches("/**/git-receive-pack", "/o/r.git/git-upload-pack", Reading::Wide));
    assert!(!matches("/**/git-receive-pack", "/o/git-receive-pack/x", Reading::Wide));
    for target in ["/a", "/a/", "/A;b/"] {
        assert!(matches("/a/", target, Reading::Wide), "{target}");
    }
    assert!(matches("/a/*", "/a/", Reading::Wide));
}

#[test]
fn says_what_is_not_a_pattern() {
    for (text, expected) in [
        ("a", PathError::NotAbsolute),
        ("/a?b", PathError::Query),
        ("/a#b", PathError::Query),
        ("/a*", PathError::Wildcard),
        ("/***", PathError::Wildcard),
        ("/a//b", PathError::EmptySegment),
        ("/../b", PathError::Dots),
        ("/%2f", PathError::Separator),
    ] {
        assert_eq!(PathPattern::parse(text), Err(expected), "{text}");
    }
}

proptest! {
    /// Whatever is read is read the same when every byte of it is escaped.
    #[test]
    fn escaping_changes_nothing(target in "/[a-z*%.;/ \u{fc}\\\\]{0,12}") {
        if let Ok(path) = RequestPath::read(&target) {
            let escaped: Vec<String> =
                path.0.iter().map(|text| text.bytes().map(|byte| format!("%{byte:02x}")).collect()).collect();
            prop_assert_eq!(RequestPath::read(&format!("/{}", escaped.join("/"))), Ok(path));
        }
    }

    /// The text of a pattern reads as the same pattern.
    #[test]
    fn a_pattern_goes_there_and_back(text in "/[a-c*%2A.;/ \u{fc}]{0,12}") {
        if let Ok(pattern) = PathPattern::parse(&text) {
            prop_assert_eq!(PathPattern::parse(&pattern.to_string()), Ok(pattern));
        }
    }

    /// The comparison agrees with a slow one that tries everything, and a wide reading has all of an exact one.
    #[test]
    fn comparing_agrees_with_a_slow_twin(
        pattern in "(/(a|b|\\*|\\*\\*)){1,5}", target in "(/(a|b|c)){0,6}/?"
    ) {
        let pattern = PathPattern::parse(&pattern).unwrap();
        if let Ok(path) = RequestPath::read(&target) {
            let exact = pattern.matches(&path, Reading::Exact);
            prop_assert_eq!(exact, slow(&pattern.0, &path.0));
            prop_assert!(!exact || pattern.matches(&path, Reading::Wide));
        }
    }
}

fn slow(parts: &[Part], segments: &[String]) -> bool {
    match (parts.split_first(), segments.split_first()) {
        (None, None) => true,
        (Some((Part::Any, rest)), _) => {
            slow(rest, segments) || segments.split_first().is_some_and(|(_, behind)| slow(parts, behind))
        }
        (Some((part, rest)), Some((segment, behind))) => {
            fits_one(part, segment, Reading::Exact) && slow(rest, behind)
        }
        _ => false,
    }
}
