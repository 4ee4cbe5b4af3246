//! Which bottle a command means: the newest of that name, by its run's id, or that of an agent when only one runs.

use crate::error::{CliError, CliResult, Exit};
use crate::run::records::Record;

/// What a bottle that runs is called.
pub(super) trait Called {
    /// Returns what the user calls it, else what its backend does.
    fn name(&self) -> &str;

    /// Returns its agent.
    fn agent(&self) -> &str;

    /// Returns when it was made; 0 where that is not known.
    fn created_unix(&self) -> u64;

    /// Returns `true` if it has this name of its own.
    fn is_called(&self, wanted: &str) -> bool;
}

impl Called for Record {
    fn name(&self) -> &str {
        &self.name
    }

    fn agent(&self) -> &str {
        &self.agent
    }

    fn created_unix(&self) -> u64 {
        self.created_unix
    }

    fn is_called(&self, wanted: &str) -> bool {
        self.name == wanted || self.id == wanted
    }
}

/// Returns those that a name means: the one that has it, else all of the agent.
pub(super) fn meant<T: Called>(mut rows: Vec<T>, wanted: &str) -> Vec<T> {
    // A name is free again once its bottle is dead, of which something may be left.
    let called = rows.iter().enumerate().filter(|(_, row)| row.is_called(wanted));
    if let Some((at, _)) = called.max_by_key(|(_, row)| row.created_unix()) {
        return vec![rows.swap_remove(at)];
    }
    rows.retain(|row| row.agent() == wanted);
    rows
}

/// Returns the one that a name means.
pub(super) fn only<T: Called>(rows: Vec<T>, wanted: &str) -> CliResult<T> {
    let running = rows.iter().map(|row| row.name().to_owned()).collect::<Vec<_>>().join(", ");
    let mut meant = meant(rows, wanted);
    match (meant.pop(), meant.len()) {
        (Some(row), 0) => Ok(row),
        (Some(_), more) => Err(several(wanted, more + 1)),
        (None, _) => Err(missing(wanted, &running)),
    }
}

/// Says that a name means more than one.
pub(super) fn several(wanted: &str, count: usize) -> CliError {
    let message = format!("agent `{wanted}` has {count} bottles running");
    CliError::new(Exit::Failed, message).hint("name one of them: claude-bottle list active")
}

fn missing(wanted: &str, running: &str) -> CliError {
    let running =
        if running.is_empty() { "none is running".to_owned() } else { format!("running: {running}") };
    CliError::new(Exit::Failed, format!("there is no bottle `{wanted}`; {running}"))
        .hint("claude-bottle list active")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Row(&'static str, &'static str, u64);

    impl Called for Row {
        fn name(&self) -> &str {
            self.0
        }
        fn agent(&self) -> &str {
            self.1
        }
        fn created_unix(&self) -> u64 {
            self.2
        }
        fn is_called(&self, wanted: &str) -> bool {
            self.0 == wanted
        }
    }

    #[test]
    fn a_name_wins_over_an_agent_and_the_newest_over_what_is_left_of_another() {
        let rows = || vec![Row("one", "dev", 3), Row("dev", "other", 2), Row("one", "dev", 1)];
        let found = |wanted| meant(rows(), wanted).iter().map(|row| row.2).collect::<Vec<_>>();
        assert_eq!(found("dev"), [2]);
        assert_eq!(found("one"), [3]);
        assert_eq!(found("other"), [2]);
        assert_eq!(found("nothing"), Vec::<u64>::new());
        assert_eq!(
            only(rows(), "nothing").err().unwrap().error.to_string(),
            "there is no bottle `nothing`; running: one, dev, one"
        );
    }
}
