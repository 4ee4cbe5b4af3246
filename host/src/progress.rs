//! Progress of the steps a plug-in reports: on a terminal a line a step, after a moment; elsewhere nothing.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use claude_bottle_plugin_api::{Event, EventState};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::ui::clean;

/// A step that is done sooner is not shown: it would only flicker.
const PATIENCE: Duration = Duration::from_millis(250);

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
    timings: Timings,
}

struct Step {
    began: Instant,
    message: String,
    bar: Option<ProgressBar>,
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

    /// Returns how long each finished step took.
    pub fn timings(&self) -> Timings {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).timings.clone()
    }
}

impl Steps {
    fn start(&mut self, event: &Event) {
        let message = event.message.clone().unwrap_or_else(|| event.step.clone());
        tracing::debug!(step = event.step, "{message}");
        self.running.insert(event.step.clone(), Step { began: Instant::now(), message, bar: None });
    }

    fn bar(&mut self, event: &Event, bars: &MultiProgress) -> Option<ProgressBar> {
        self.running.get_mut(&event.step)?.show(&event.step, bars)
    }

    fn finish(&mut self, event: &Event) {
        if let Some(step) = self.running.remove(&event.step) {
            let took = step.began.elapsed();
            tracing::debug!(step = event.step, state = ?event.state, millis = took.as_millis(), "step ended");
            self.timings.push((event.step.clone(), took));
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
    let done = event.done.unwrap_or(0);
    match event.total {
        Some(total) if total > 0 => bar.set_message(format!("{}%", done.saturating_mul(100) / total)),
        _ => bar.set_message(done.to_string()),
    }
}
