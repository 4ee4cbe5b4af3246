//! Goes back: from what a process left in the middle or could not finish, and from what was applied.
//!
//! Only what is exactly as it was written is taken back. What the user made or changed since stays, and is named.

use std::io;
use std::path::PathBuf;

use rustix::fs::{AtFlags, unlinkat};
use rustix::io::Errno;

use crate::results::apply::found::Found;
use crate::results::apply::journal::Step;
use crate::results::apply::order;
use crate::results::apply::plan::{Plan, add_parents};
use crate::results::apply::stage::{Stage, staged, taken};
use crate::results::apply::tree::{Place, PlaceError, Tree, look};
use crate::results::apply::write::make_directory;

/// Takes the first `count` steps back, the last one first, and then removes the stage.
///
/// Each step is judged by what is there, so it does not matter how many of them were done. Returns the paths that are not as
/// they were before.
pub(in crate::results) fn take_back(
    tree: &Tree,
    stage: &Stage,
    steps: &[Step],
    count: usize,
) -> Vec<PathBuf> {
    let mut left = Vec::new();
    // Before everything was staged, nothing was given its place.
    let is_ready = stage.is_ready().unwrap_or(true);
    for (index, step) in steps.iter().enumerate().take(if is_ready { count } else { 0 }).rev() {
        if !one(tree, stage, index, step).unwrap_or(false) {
            left.push(step.path.as_path().to_owned());
        }
    }
    for (index, step) in steps.iter().enumerate() {
        // What is new was never the user's; anything else stays where it is.
        if !is_ready || stage.look(&staged(index)).is_ok_and(|found| found == step.to) {
            stage.remove(&staged(index)).ok();
        }
    }
    // What could not go back to its place is in the stage.
    if left.is_empty() {
        stage.close(tree).ok();
    }
    left
}

/// Takes one step back; `false` if what is there is not the step's.
fn one(tree: &Tree, stage: &Stage, index: usize, step: &Step) -> io::Result<bool> {
    let place = match tree.place(step.path.as_path()) {
        // Its directory is not there, so it was not written.
        Err(PlaceError::Missing(_) | PlaceError::NotADirectory(_) | PlaceError::Link(_)) => {
            return Ok(step.from == Found::Absent);
        }
        other => other.map_err(io::Error::other)?,
    };
    let now = look(&place.dir, place.name)?.found;
    let (waiting, away) = (stage.look(&staged(index))?, stage.look(&taken(index))?);
    match (&step.from, &step.to) {
        (Found::Absent, Found::Directory) => {
            if now == Found::Directory {
                remove_directory(&place)?;
            }
        }
        (Found::Absent, to) => {
            if now == *to && waiting == Found::Absent {
                stage.withdraw(index, &place)?;
            }
        }
        (Found::Directory, to) => {
            if now == *to && *to != Found::Absent && waiting == Found::Absent {
                stage.withdraw(index, &place)?;
            }
            if look(&place.dir, place.name)?.found == Found::Absent {
                make_directory(&place)?;
            }
        }
        (_, to) => {
            // What was displaced goes back, also when it changed at the last moment.
            if now == *to && waiting != Found::Absent && waiting != *to {
                stage.exchange(index, &place)?;
                stage.remove(&staged(index))?;
            } else if away != Found::Absent {
                if now == Found::Directory && *to == Found::Directory {
                    remove_directory(&place)?;
                } else if now == *to && waiting == Found::Absent && now != Found::Absent {
                    stage.withdraw(index, &place)?;
                }
                stage.put_back(index, &place)?;
            }
        }
    }
    Ok(look(&place.dir, place.name)?.found == step.from)
}

/// Removes a directory; one that something else is in stays.
fn remove_directory(place: &Place<'_>) -> io::Result<()> {
    match unlinkat(&place.dir, place.name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Says how to go back from what was applied, and which paths are not as they were written.
pub(in crate::results) fn plan(tree: &Tree, applied: &[Step]) -> (Plan, Vec<PathBuf>) {
    let (mut plan, mut changed) = (Plan::default(), Vec::new());
    let mut steps = Vec::new();
    let becomes_directory: Vec<_> = applied
        .iter()
        .filter(|step| step.from == Found::Directory && step.to != Found::Directory)
        .map(|step| step.path.as_path())
        .collect();
    for step in applied {
        let path = step.path.as_path();
        let below = path.ancestors().skip(1).any(|above| becomes_directory.contains(&above));
        match tree.look(path) {
            Ok(seen) if seen.found == step.to => steps.push(step.reversed()),
            Ok(seen) if seen.found == step.from => plan.already += 1,
            Err(_) if below && step.to == Found::Absent => steps.push(step.reversed()),
            _ => changed.push(path.to_owned()),
        }
    }
    // What stays keeps the directories above it.
    steps.retain(|step| {
        let stays = |path: &PathBuf| path != step.path.as_path() && path.starts_with(step.path.as_path());
        let goes = step.to == Found::Absent || step.from == Found::Directory;
        let keeps = goes && step.from == Found::Directory && changed.iter().any(stays);
        !keeps
    });
    add_parents(tree, &mut steps, &mut plan);
    order::sort(&mut steps);
    plan.steps = steps;
    (plan, changed)
}
