//! What `watch` shows, and what keys do to it. Nothing here reads or draws.

use std::collections::VecDeque;

use super::usage::Used;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// The most refusals that are kept; older ones are in `logs --egress`.
const MOST_REFUSALS: usize = 500;

/// A bottle that runs.
#[derive(Debug, Clone, Default)]
pub(super) struct Bottle {
    /// Its run.
    pub(super) id: String,
    pub(super) name: String,
    pub(super) agent: String,
    pub(super) state: &'static str,
    pub(super) age: String,
    /// What it takes of the machine; nothing where that is not known.
    pub(super) used: Option<Used>,
    pub(super) workspace: String,
    pub(super) requests: u64,
    pub(super) refused: u64,
}

/// A place that a bottle was refused, or waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::cli) struct Asked {
    /// The run, and what its bottle is called.
    pub(in crate::cli) run: String,
    pub(in crate::cli) bottle: String,
    /// The time of day.
    pub(in crate::cli) time: String,
    pub(in crate::cli) place: String,
    /// What would allow it, when a rule would.
    pub(in crate::cli) rule: Option<String>,
    pub(in crate::cli) reason: String,
    /// What the agent says of it, when it asked by `bottle ask`. Text of the agent's.
    pub(in crate::cli) why: Option<String>,
    /// Until when a question waits, in seconds since 1970-01-01 UTC.
    pub(in crate::cli) until: u64,
}

impl Asked {
    /// Returns what is said of it: by the agent in its own words, or else by the guard.
    pub(in crate::cli) fn said(&self) -> String {
        said(self.why.as_deref(), &self.reason)
    }
}

/// Returns what is said of a question: by the agent in its own words, or else by the guard.
pub(in crate::cli) fn said(why: Option<&str>, reason: &str) -> String {
    why.map_or_else(|| reason.to_owned(), |why| format!("\"{why}\""))
}

/// Which of the lists keys are for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Focus {
    #[default]
    Bottles,
    Questions,
    Refusals,
}

/// What a key asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    Nothing,
    Quit,
    /// Stop this program as a shell does.
    Suspend,
    /// Run the program's own command with these arguments and tell what came of it.
    Command(Vec<String>),
    /// Run it with the terminal.
    Foreground(Vec<String>),
}

/// All that is shown.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) bottles: Vec<Bottle>,
    /// What waits for an answer, the one that has waited longest first.
    pub(super) questions: Vec<Asked>,
    /// What was refused, newest first.
    pub(super) refusals: VecDeque<Asked>,
    pub(super) focus: Focus,
    /// The line of each list that is chosen.
    pub(super) chosen: [usize; 3],
    /// The run that is to be stopped, once that is agreed to.
    pub(super) stopping: Option<(String, String)>,
    /// What the last command said.
    pub(super) note: String,
    /// The present time, in seconds since 1970-01-01 UTC.
    pub(super) now: u64,
}

impl Model {
    /// Adds a question, unless it waits already.
    pub(super) fn ask(&mut self, question: Asked) {
        let is_same = |other: &&mut Asked| other.run == question.run && other.place == question.place;
        match self.questions.iter_mut().find(is_same) {
            // What was said first stays.
            Some(known) => known.why = known.why.take().or(question.why),
            None => self.questions.push(question),
        }
    }

    /// Takes a question out that waits no more.
    pub(super) fn answered(&mut self, run: &str, place: &str) {
        self.questions.retain(|question| question.run != run || question.place != place);
    }

    /// Adds a refusal.
    pub(super) fn refuse(&mut self, refusal: Asked) {
        self.refusals.push_front(refusal);
        self.refusals.truncate(MOST_REFUSALS);
        // What was chosen stays chosen.
        let chosen = &mut self.chosen[Focus::Refusals as usize];
        if self.focus == Focus::Refusals && *chosen + 1 < self.refusals.len() {
            *chosen += 1;
        }
    }

    /// Takes the bottles that run now, and out what belongs to others or waits no more.
    pub(super) fn update(&mut self, bottles: Vec<Bottle>, now: u64) {
        let chosen = self.bottle().map(|bottle| bottle.id.clone());
        self.questions
            .retain(|question| question.until > now && bottles.iter().any(|b| b.id == question.run));
        self.now = now;
        self.bottles = bottles;
        let at = chosen.and_then(|id| self.bottles.iter().position(|bottle| bottle.id == id));
        self.chosen[Focus::Bottles as usize] = at.unwrap_or_default();
        self.keep_in_range();
    }

    fn keep_in_range(&mut self) {
        for (chosen, length) in
            self.chosen.iter_mut().zip([self.bottles.len(), self.questions.len(), self.refusals.len()])
        {
            *chosen = (*chosen).min(length.saturating_sub(1));
        }
    }

    fn bottle(&self) -> Option<&Bottle> {
        self.bottles.get(self.chosen[Focus::Bottles as usize])
    }

    /// Returns the question that keys are for, or that waits longest, with what the agent says of it.
    pub(super) fn said(&self) -> Option<(&Asked, &str)> {
        let question = self.questions.get(self.chosen[Focus::Questions as usize])?;
        Some((question, question.why.as_deref()?))
    }

    /// Returns the host that keys are for: the chosen one, or the question that waits longest.
    fn asked(&self) -> Option<&Asked> {
        let at = |focus: Focus| self.chosen[focus as usize];
        match self.focus {
            Focus::Refusals => self.refusals.get(at(Focus::Refusals)),
            Focus::Questions | Focus::Bottles => self.questions.get(at(Focus::Questions)),
        }
    }

    /// Does what a key means.
    pub(super) fn press(&mut self, key: KeyEvent) -> Action {
        if let Some((run, name)) = self.stopping.take() {
            return match key.code {
                KeyCode::Char('y') => {
                    self.note = format!("stopping {name} …");
                    Action::Command(vec!["stop".to_owned(), run])
                }
                _ => Action::Nothing,
            };
        }
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if is_control => Action::Quit,
            KeyCode::Char('z') if is_control => Action::Suspend,
            KeyCode::Char('q') | KeyCode::Esc => Action::Quit,
            KeyCode::Tab => self.turn([Focus::Questions, Focus::Refusals, Focus::Bottles]),
            KeyCode::BackTab => self.turn([Focus::Refusals, Focus::Bottles, Focus::Questions]),
            KeyCode::Down | KeyCode::Char('j') => self.step(1),
            KeyCode::Up | KeyCode::Char('k') => self.step(-1),
            KeyCode::Char('a') => self.answer("allow"),
            KeyCode::Char('d') => self.answer("deny"),
            KeyCode::Char('s') => {
                self.foreground(|run| ["exec", run, "--", "sh"].map(str::to_owned).to_vec())
            }
            KeyCode::Char('f') => self.foreground(|run| ["diff", run].map(str::to_owned).to_vec()),
            KeyCode::Char('x') => {
                self.stopping = self.bottle().map(|bottle| (bottle.id.clone(), bottle.name.clone()));
                Action::Nothing
            }
            _ => Action::Nothing,
        }
    }

    /// Moves on to the list behind this one.
    fn turn(&mut self, next: [Focus; 3]) -> Action {
        self.focus = next[self.focus as usize];
        Action::Nothing
    }

    fn step(&mut self, by: isize) -> Action {
        let chosen = &mut self.chosen[self.focus as usize];
        *chosen = chosen.saturating_add_signed(by);
        self.keep_in_range();
        Action::Nothing
    }

    fn answer(&mut self, verb: &str) -> Action {
        let Some((run, rule)) = self.asked().map(|asked| (asked.run.clone(), asked.rule.clone())) else {
            self.note = "nothing waits; choose a refusal with Tab".to_owned();
            return Action::Nothing;
        };
        match rule {
            Some(rule) => Action::Command(vec!["policy".to_owned(), verb.to_owned(), run, rule]),
            None => {
                self.note = "no rule would let that through".to_owned();
                Action::Nothing
            }
        }
    }

    fn foreground(&self, command: impl FnOnce(&str) -> Vec<String>) -> Action {
        self.bottle().map_or(Action::Nothing, |bottle| Action::Foreground(command(&bottle.id)))
    }
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
