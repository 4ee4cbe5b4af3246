//! Any bytes as an agent's commits: read or refused, without a panic, and never a path that leads elsewhere.
#![no_main]

use std::path::Component;

use claude_bottle::results::commits::read::{Sink, read};
use claude_bottle::results::commits::{Commit, CommitsError, Step};
use libfuzzer_sys::fuzz_target;

/// Checks what comes.
struct Checked;

impl Sink for Checked {
    fn blob(&mut self, _mark: u64, _bytes: Vec<u8>) -> Result<(), CommitsError> {
        Ok(())
    }

    fn commit(&mut self, commit: Commit) -> Result<(), CommitsError> {
        assert!(!commit.parents.is_empty());
        for text in [&commit.author, &commit.committer] {
            assert!(!text.contains(char::is_control) && text.matches('<').count() == 1);
        }
        for step in &commit.steps {
            let (Step::Put { path, .. } | Step::Remove(path)) = step;
            assert!(path.components().all(|part| matches!(part, Component::Normal(name) if !name.eq_ignore_ascii_case(".git"))));
            assert!(path.components().count() > 0);
        }
        Ok(())
    }
}

fuzz_target!(|text: &[u8]| {
    drop(read(text, &mut Checked));
});
