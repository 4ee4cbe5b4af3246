//! "Did you mean", and lists of what is available.

/// Candidates looked at; more would make a hostile file slow and help nobody.
const MAX_CANDIDATES: usize = 500;
/// Entries of a list that are spelled out.
const MAX_LISTED: usize = 12;

/// Returns the candidate nearest to `word`, if one is near enough to have been meant.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    // A third of the letters may differ, but in a short word only one.
    let allowed = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .take(MAX_CANDIDATES)
        .map(|candidate| (strsim::osa_distance(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Returns names separated by commas, the tail of a long list as a number.
pub fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let shown = names[..names.len().min(MAX_LISTED)].join(", ");
    match names.len().saturating_sub(MAX_LISTED) {
        0 if names.is_empty() => "none".to_owned(),
        0 => shown,
        more => format!("{shown}, +{more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_only_what_is_near() {
        let check = |word, expected| assert_eq!(nearest(word, ["egress", "env", "ssh"]), expected, "{word}");
        check("egres", Some("egress"));
        check("ergess", Some("egress"));
        check("EGRESS", Some("egress"));
        check("evn", Some("env"));
        check("network", None);
        check("x", None);
        check("", None);
    }

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(listed([]), "none");
        assert_eq!(listed(["a", "b"]), "a, b");
        let names: Vec<String> = (0..15).map(|n| format!("n{n}")).collect();
        assert!(listed(names.iter().map(String::as_str)).ends_with("n11, +3 more"));
    }
}
