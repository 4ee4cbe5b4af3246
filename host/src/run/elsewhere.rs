//! What belongs to a run of another home: its record is not among ours, and what would be lost is said by that record alone.

use std::path::Path;

use claude_bottle_plugin_api::CleanupItem;

use super::records::{Runs, of_any_home};

/// Returns why something that a dead run left stays, with a command for its own home; `None` if nothing is lost with it.
///
/// A run without a record was cut short before it had anything to lose. One whose record cannot be read is kept.
pub fn why_kept(item: &CleanupItem, ours: &Runs) -> Option<String> {
    let dir = item.state_dir.as_deref()?;
    if ours.has(dir) {
        return None;
    }
    match of_any_home(dir) {
        Ok(None) => None,
        Ok(Some(record)) if !record.has_something_to_lose() => None,
        Ok(Some(_)) => {
            Some(format!("its work is not saved, and its run is of another home: {}", command(dir)))
        }
        Err(error) => Some(format!("cannot read the record of its run in {}: {error}", dir.display())),
    }
}

/// Returns the command that cleans up the home of a run's directory, which is `<home>/claude-bottle/bottles/<run>`.
fn command(dir: &Path) -> String {
    let home = dir.ancestors().nth(3).unwrap_or(dir);
    format!("XDG_STATE_HOME={} claude-bottle cleanup", home.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::records::{Phase, tests::record};

    /// Returns why what a run left is kept, asked in a home that has no record of it.
    fn asked(make: impl FnOnce(&Runs, &Path)) -> Option<String> {
        let (theirs, ours) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let runs = Runs::new(&theirs.path().join("claude-bottle"));
        let dir = runs.dir("run-001");
        make(&runs, &dir);
        let mut item = CleanupItem::new("container", "c", "c", "its process is gone");
        item.state_dir = Some(dir);
        assert_eq!(why_kept(&item, &runs), None, "its own home saves it");
        let why = why_kept(&item, &Runs::new(ours.path()));
        why.map(|why| why.replace(&theirs.path().display().to_string(), "THEIRS"))
    }

    #[test]
    fn what_another_home_has_not_saved_stays_and_names_the_command() {
        let wants = || serde_json::from_str(r#"{"directory":"/w"}"#).unwrap();
        for (phase, saves, is_saved, is_kept) in [
            (Phase::Running, true, false, true),
            (Phase::Creating, true, false, true),
            (Phase::Running, true, true, false),
            (Phase::Running, false, false, false),
            (Phase::Unsaved, true, false, true),
            (Phase::Kept, true, true, true),
            (Phase::Ended, true, true, false),
        ] {
            let why = asked(|runs, _| {
                let mut record = record(1, phase);
                (record.saves, record.is_saved) = (saves.then(wants), is_saved);
                runs.save(&record).unwrap();
            });
            let wanted = "its work is not saved, and its run is of another home: \
                          XDG_STATE_HOME=THEIRS claude-bottle cleanup";
            assert_eq!(why.as_deref(), is_kept.then_some(wanted), "{phase:?} {saves} {is_saved}");
        }
    }

    #[test]
    fn a_run_without_a_record_has_nothing_to_lose_and_one_that_cannot_be_read_may() {
        assert_eq!(asked(|_, _| {}), None);
        assert_eq!(asked(|_, dir| std::fs::create_dir_all(dir).unwrap()), None);
        let why = asked(|_, dir| {
            std::fs::create_dir_all(dir).unwrap();
            std::fs::write(dir.join("record.json"), "{").unwrap();
        });
        assert!(
            why.unwrap()
                .starts_with("cannot read the record of its run in THEIRS/claude-bottle/bottles/run-001: ")
        );
    }
}
