//! Progress of the steps a plug-in reports: on a terminal a line a step, after a moment; elsewhere nothing.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use claude_bottle_plugin_api::{Event, EventState};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::ui::clean;

/// A step that is done sooner is not shown: it would only flicker.
const PATIENCE: Duration = Duration::from_millis(250);

/// How much of a step's output is kept for the case that it fails, in bytes; the beginning goes first.
const MAX_OUTPUT: usize = 4 << 20;

/// How long each step took, in the order they began.
pub type Timings = Vec<(String, Duration)>;

/// The progress of one run.
pub struct Progress {
    bars: MultiProgress,
    shown: bool,
    steps: Mutex<Steps>,
}

#[derive(Default)]
struct Steps {
    running: HashMap<String, Step>,
    /// When each finished step began, its name, and how long it took.
    finished: Vec<(Instant, String, Duration)>,
    /// What steps that failed had printed.
    failed: Vec<String>,
}

struct Step {
    began: Instant,
    message: String,
    output: Output,
    bar: Option<ProgressBar>,
}

/// The lines that a step printed.
#[derive(Default)]
struct Output {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Progress {
    /// Shows progress on standard error, or only measures it.
    pub fn new(shown: bool) -> Self {
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { bars: MultiProgress::with_draw_target(target), shown, steps: Mutex::default() }
    }

    /// Takes an event of a plug-in.
    pub fn event(&self, event: &Event) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        match event.state {
            EventState::Started => steps.start(event),
            EventState::Running => {
                if let Some(bar) = steps.bar(event, &self.bars) {
                    show_amount(&bar, event);
                }
            }
            EventState::Output => {
                let line = event.message.as_deref().unwrap_or_default();
                tracing::debug!(step = event.step, "{line}");
                steps.keep(&event.step, line);
                if let Some(bar) = steps.bar(event, &self.bars) {
                    bar.set_message(clean(line.trim_end()).replace(['\n', '\t'], " "));
                }
            }
            EventState::Finished | EventState::Failed => steps.finish(event),
            _ => {}
        }
    }

    /// Draws the bars of steps that have run for a moment and have reported nothing since.
    pub fn tick(&self) {
        if !self.shown {
            return;
        }
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, step) in &mut steps.running {
            if let Some(bar) = step.show(name, &self.bars) {
                bar.tick();
            }
        }
    }

    /// Takes every bar away.
    pub fn clear(&self) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        steps.running.clear();
        if let Err(error) = self.bars.clear() {
            tracing::debug!(%error, "clear progress");
        }
    }

    /// Returns everything that steps which failed had printed, once.
    pub fn output_of_failed(&self) -> Option<String> {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = std::mem::take(&mut steps.failed);
        (!failed.is_empty()).then(|| failed.join("\n\n"))
    }

    /// Returns how long each finished step took.
    pub fn timings(&self) -> Timings {
        let mut finished = self.steps.lock().unwrap_or_else(PoisonError::into_inner).finished.clone();
        finished.sort_by_key(|(began, ..)| *began);
        finished.into_iter().map(|(_, step, took)| (step, took)).collect()
    }

    /// Returns for how long at least one step ran: some run at the same time, and between some the agent runs.
    pub fn lasted(&self) -> Duration {
        let mut finished = self.steps.lock().unwrap_or_else(PoisonError::into_inner).finished.clone();
        finished.sort_by_key(|(began, ..)| *began);
        let mut total = Duration::ZERO;
        let mut until: Option<Instant> = None;
        for (began, _, took) in finished {
            let (ended, from) = (began + took, until.map_or(began, |until| until.max(began)));
            total += ended.saturating_duration_since(from);
            until = Some(until.map_or(ended, |until| until.max(ended)));
        }
        total
    }
}

impl Steps {
    fn start(&mut self, event: &Event) {
        let message = event.message.clone().unwrap_or_else(|| event.step.clone());
        tracing::debug!(step = event.step, "{message}");
        let (began, output) = (Instant::now(), Output::default());
        self.running.insert(event.step.clone(), Step { began, message, output, bar: None });
    }

    fn keep(&mut self, step: &str, line: &str) {
        if let Some(step) = self.running.get_mut(step) {
            step.output.push(line.trim_end());
        }
    }

    fn bar(&mut self, event: &Event, bars: &MultiProgress) -> Option<ProgressBar> {
        self.running.get_mut(&event.step)?.show(&event.step, bars)
    }

    fn finish(&mut self, event: &Event) {
        if let Some(step) = self.running.remove(&event.step) {
            let took = step.began.elapsed();
            tracing::debug!(step = event.step, state = ?event.state, millis = took.as_millis(), "step ended");
            self.finished.push((step.began, event.step.clone(), took));
            if event.state == EventState::Failed && !step.output.lines.is_empty() {
                let lines = Vec::from(step.output.lines.clone()).join("\n");
                self.failed.push(format!("{}:\n{lines}", step.message));
            }
        }
    }
}

impl Output {
    fn push(&mut self, line: &str) {
        self.bytes += line.len() + 1;
        self.lines.push_back(line.to_owned());
        while self.bytes > MAX_OUTPUT {
            let Some(first) = self.lines.pop_front() else { break };
            self.bytes -= first.len() + 1;
        }
    }
}

impl Step {
    /// Returns the step's bar, once it has run for a moment.
    fn show(&mut self, name: &str, bars: &MultiProgress) -> Option<ProgressBar> {
        if self.bar.is_none() && self.began.elapsed() >= PATIENCE {
            let style = ProgressStyle::with_template("{spinner} {prefix} {wide_msg}").ok()?;
            let bar = bars.add(ProgressBar::new_spinner().with_style(style));
            bar.set_prefix(clean(&self.message).into_owned());
            tracing::trace!(step = name, "shown");
            self.bar = Some(bar);
        }
        self.bar.clone()
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn show_amount(bar: &ProgressBar, event: &Event) {
    bar.set_message(amount(event.message.as_deref(), event.done.unwrap_or(0), event.total));
}

/// Says how far a step is: in the backend's words, which know the unit, and in percent.
fn amount(words: Option<&str>, done: u64, total: Option<u64>) -> String {
    let percent = total.filter(|total| *total > 0).map(|total| done.min(total).saturating_mul(100) / total);
    match (words, percent) {
        (Some(words), Some(percent)) => format!("{} ({percent}%)", clean(words)),
        (Some(words), None) => clean(words).into_owned(),
        (None, Some(percent)) => format!("{percent}%"),
        (None, None) => done.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(state: EventState, message: &str) -> Event {
        Event::new("build", state).message(message)
    }

    #[test]
    fn only_what_a_failed_step_printed_is_kept_and_not_without_bounds() {
        let progress = Progress::new(false);
        for (end, expected) in
            [(EventState::Finished, None), (EventState::Failed, Some("building it:\none\ntwo".to_owned()))]
        {
            progress.event(&event(EventState::Started, "building it"));
            progress.event(&event(EventState::Output, "one\r\n"));
            progress.event(&event(EventState::Output, "two\n"));
            progress.event(&Event::new("build", end));
            assert_eq!(progress.output_of_failed(), expected);
            assert_eq!(progress.output_of_failed(), None);
        }
        let mut output = Output::default();
        let line = "x".repeat(1 << 20);
        (0..6).for_each(|_| output.push(&line));
        assert_eq!(output.lines.len(), 3);
    }

    #[test]
    fn steps_are_timed_in_the_order_they_began() {
        let progress = Progress::new(false);
        for (step, state) in [
            ("outer", EventState::Started),
            ("inner", EventState::Started),
            ("inner", EventState::Finished),
            ("outer", EventState::Finished),
        ] {
            progress.event(&Event::new(step, state));
        }
        // What runs within another is no time of its own.
        assert_eq!(progress.lasted(), progress.timings()[0].1);
        let steps: Vec<_> = progress.timings().into_iter().map(|(step, _)| step).collect();
        assert_eq!(steps, ["outer", "inner"]);
    }

    #[test]
    fn an_amount_is_words_percent_or_a_number() {
        assert_eq!(amount(Some("1 MiB of 4 MiB"), 1, Some(4)), "1 MiB of 4 MiB (25%)");
        assert_eq!(amount(Some("1 MiB"), 1, None), "1 MiB");
        assert_eq!(amount(None, 5, Some(4)), "100%");
        assert_eq!(amount(None, 5, Some(0)), "5");
    }
}
