//! The name that a user gives a bottle: what it may be, and what it must not stand for already.

use crate::error::{CliError, CliResult, Exit};
use crate::manifest::{Manifest, check_slug, slugified};
use crate::run::owner;
use crate::run::records::{Phase, Record, Runs};

/// Refuses a name that is not valid, or that stands for something else: an agent, a run, a live bottle.
///
/// `saved` are the runs of saved results, which stay longer than the records of runs.
pub fn check(name: &str, manifest: &Manifest, runs: &[Record], saved: &[String]) -> CliResult {
    if let Err(error) = check_slug(name) {
        let message = format!("`{}` is not a valid name of a bottle: {error}", name.escape_debug());
        let error = CliError::new(Exit::Usage, message);
        return Err(match slugified(name) {
            Some(slug) => error.hint(format!("use --name {slug}")),
            None => error,
        });
    }
    if manifest.agent(name).is_ok() || manifest.problems_of(name).is_some() {
        let message = format!("`{name}` is the name of an agent, which stands for its bottles already");
        return Err(CliError::new(Exit::Failed, message).hint("choose another name: --name NAME"));
    }
    if runs.iter().any(|run| run.id == name) || saved.iter().any(|run| run == name) {
        return Err(CliError::new(Exit::Failed, format!("`{name}` stands for an earlier run already"))
            .hint("see the runs there were: claude-bottle logs"));
    }
    refuse_taken(name, runs)
}

/// Writes the first record of a run, under the name that the user gave it.
pub fn create(runs: &Runs, record: &Record) -> CliResult {
    // Of two starts at once only one may have it.
    let _lock = runs.lock_all()?;
    refuse_taken(&record.name, &runs.all()?)?;
    Ok(runs.create(record)?)
}

fn refuse_taken(name: &str, runs: &[Record]) -> CliResult {
    let is_taken_by = |run: &&Record| has_bottle(run) && is_called(run, name);
    let Some(run) = runs.iter().find(is_taken_by) else { return Ok(()) };
    let (agent, id) = (&run.agent, &run.id);
    Err(match run.phase {
        Phase::Unsaved => {
            let message = format!("the name `{name}` is taken by a bottle whose work is not saved");
            CliError::new(Exit::Failed, message)
                .hint(format!("save it, and remove it: claude-bottle save {id}"))
        }
        _ => {
            let message = format!("the name `{name}` is taken by a bottle of `{agent}` that is running");
            CliError::new(Exit::Failed, message).hint(format!("stop it: claude-bottle stop {name}"))
        }
    })
}

/// Returns `true` if a run has a bottle that is used, or kept. What a dead run left has no claim to a name.
pub fn has_bottle(run: &Record) -> bool {
    match run.phase {
        Phase::Creating | Phase::Running => owner::is_alive(&run.owner) != Ok(false),
        Phase::Unsaved => true,
        // Its name is that of a result by now.
        Phase::Kept | Phase::Ended => false,
    }
}

fn is_called(run: &Record, name: &str) -> bool {
    run.name == name || run.instance.as_ref().is_some_and(|bottle| bottle.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::records::tests::record;

    #[test]
    fn a_name_is_taken_as_long_as_its_bottle_is_there() {
        let mut dead = record(1, Phase::Running);
        dead.owner.started += 1;
        for (run, is_taken) in [
            (record(1, Phase::Creating), true),
            (record(1, Phase::Running), true),
            (record(1, Phase::Unsaved), true),
            (record(1, Phase::Ended), false),
            (dead, false),
        ] {
            let phase = run.phase;
            assert_eq!(refuse_taken("fake-1", &[run]).is_err(), is_taken, "{phase:?}");
        }
        assert!(refuse_taken("other", &[record(1, Phase::Running)]).is_ok());
    }

    #[test]
    fn of_two_starts_at_once_only_one_gets_the_name() {
        let dir = tempfile::tempdir().unwrap();
        let runs = Runs::new(dir.path());
        let start = &|id| {
            let mut run = record(id, Phase::Creating);
            "mine".clone_into(&mut run.name);
            create(&runs, &run).is_ok()
        };
        let won = std::thread::scope(|scope| {
            let threads: Vec<_> = (1..=4).map(|id| scope.spawn(move || start(id))).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap().then_some(())).count()
        });
        assert_eq!((won, runs.all().unwrap().len()), (1, 1));
    }
}
