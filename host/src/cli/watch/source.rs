//! Where `watch` has it from: the records of runs, and their decision logs as they grow.

use std::collections::HashMap;

use claude_bottle_egress_policy::{LogEvent, LogRecord, Tally, Verdict};

use super::model::{Asked, Bottle, Model};
use super::usage::Usage;
use crate::cli::App;
use crate::cli::logs::tail::Tail;
use crate::cli::policy::running::running;
use crate::cli::selection::meant;
use crate::cli::table::{age, below_home};
use crate::egress::decision::{self, Decision};
use crate::egress::live::now;
use crate::egress::summary::{Target, is_tunnel, place};
use crate::error::CliResult;
use crate::run::records::{Phase, Record};
use crate::ui::clean;

/// For how long a question is shown whose end no line tells: a guard that was killed tells none.
const LONGEST: u64 = 60;

/// The bottles that are watched.
pub(super) struct Source<'a> {
    app: &'a App,
    /// The bottle that is meant; all of them when none is.
    wanted: Option<&'a str>,
    followed: HashMap<String, Followed>,
    usage: Usage,
}

/// The decision log of a run.
struct Followed {
    tail: Tail,
    tally: Tally,
}

impl<'a> Source<'a> {
    pub(super) fn new(app: &'a App, wanted: Option<&'a str>) -> Self {
        Self { app, wanted, followed: HashMap::new(), usage: Usage::default() }
    }

    /// Returns the runs that are watched.
    pub(super) fn runs(&self) -> CliResult<Vec<Record>> {
        let runs = running(self.app)?;
        Ok(match self.wanted {
            Some(wanted) => meant(runs, wanted),
            None => runs,
        })
    }

    /// Brings a model up to date.
    pub(super) fn refresh(&mut self, model: &mut Model) -> CliResult {
        let runs = self.runs()?;
        self.followed.retain(|id, _| runs.iter().any(|run| run.id == *id));
        for run in &runs {
            self.follow(run, model)?;
        }
        let ids: Vec<_> = runs.iter().map(|run| run.id.as_str()).collect();
        self.usage.refresh(&ids);
        let bottles = runs.iter().map(|run| self.bottle(run)).collect();
        model.update(bottles, now());
        Ok(())
    }

    fn follow(&mut self, run: &Record, model: &mut Model) -> CliResult {
        let dir = self.app.runs().dir(&run.id);
        let new = || Followed { tail: Tail::new(&dir), tally: Tally::default() };
        let followed = self.followed.entry(run.id.clone()).or_insert_with(new);
        for line in followed.tail.read_new().map_err(anyhow::Error::from)? {
            if let Some(Decision { record, knows_ports }) = decision::read(line.as_bytes(), &run.id) {
                followed.tally.count(&record);
                take(model, run, &record, knows_ports);
            }
        }
        Ok(())
    }

    fn bottle(&self, run: &Record) -> Bottle {
        let tally = self.followed.get(&run.id).map(|followed| followed.tally).unwrap_or_default();
        let workspace = run.workspace.as_deref();
        Bottle {
            id: run.id.clone(),
            name: run.name.clone(),
            agent: run.agent.clone(),
            state: if run.phase == Phase::Creating { "creating" } else { "running" },
            age: age(run.created_unix),
            used: self.usage.of(&run.id),
            workspace: workspace.map(|dir| below_home(dir, &self.app.invocation.home)).unwrap_or_default(),
            requests: tally.allowed + tally.blocked + tally.failed,
            refused: tally.blocked,
        }
    }
}

/// Takes a line of a log into what is shown.
fn take(model: &mut Model, run: &Record, record: &LogRecord, knows_ports: bool) {
    let asked = asked(run, record, knows_ports);
    match (record.event, record.verdict) {
        (LogEvent::Ask, _) => model.ask(asked),
        (LogEvent::Answer, _) => model.answered(&run.id, &asked.place),
        (_, Verdict::Deny) => model.refuse(asked),
        _ => {}
    }
}

/// Returns what a line is about. What the agent chose of it is escaped.
fn asked(run: &Record, record: &LogRecord, knows_ports: bool) -> Asked {
    let target = Target {
        count: 1,
        host: record.host.clone(),
        port: record.port,
        tunnel: is_tunnel(&record.method),
        code: record.code.clone(),
        knows_ports,
    };
    Asked {
        run: run.id.clone(),
        bottle: run.name.clone(),
        time: record.time.get(11..19).unwrap_or_default().to_owned(),
        place: one_line(&place(&record.host, record.port)),
        rule: target.rule(),
        reason: one_line(&record.reason),
        why: record.why.as_deref().map(one_line),
        until: seconds(&record.time).map_or(0, |asked| asked + LONGEST),
    }
}

fn one_line(text: &str) -> String {
    clean(text).replace(['\n', '\t'], " ")
}

/// Reads the time of a line, in seconds since 1970-01-01 UTC.
fn seconds(time: &str) -> Option<u64> {
    let number = |range: std::ops::Range<usize>| time.get(range)?.parse::<u64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    // Days from date after <https://howardhinnant.github.io/date_algorithms.html#days_from_civil>.
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day.checked_sub(1)?;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = (era * 146_097 + day_of_era).checked_sub(719_468)?;
    Some(days * 86_400 + number(11..13)? * 3_600 + number(14..16)? * 60 + number(17..19)?)
}

#[cfg(test)]
mod tests {
    use claude_bottle_egress_policy::date_time;

    use super::*;

    #[test]
    fn a_time_reads_back() {
        for moment in [0, 951_782_400, 951_868_799, 1_709_164_800, 1_796_000_000, 4_107_542_400] {
            assert_eq!(seconds(&format!("{}.123Z", date_time(moment))), Some(moment));
        }
        for wrong in ["", "soon", "1969-12-31T23:59:59Z", "2026-00-00T00:00:00Z"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
