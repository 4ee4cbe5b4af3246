//! What was measured, as a file: tables of figures, each with when and where it was taken; and how their ratios have changed since the last
//! time. That is a report and never a failure: a figure says little about a change where other things run.

use std::fmt::{Display, Write as _};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use serde_json::{Map, Value, json};

/// By how much a ratio has to change to be worth a line.
const NOTABLE: f64 = 0.1;

/// Something that is printed, and is in the file.
pub(crate) trait Measured: Display {
    /// Returns `title`, `columns` and `rows`; a row has `name`, `figures` in the order of the columns, and `ratio` to its control if it has one.
    fn table(&self) -> Value;
}

/// All tables of a run, and those of the last one.
pub(crate) struct Record {
    file: Option<PathBuf>,
    rounds: usize,
    before: Vec<Value>,
    now: Vec<Value>,
}

impl Record {
    /// Begins one; what is in the file already is what the run is compared with.
    pub(crate) fn new(file: Option<PathBuf>, rounds: usize) -> anyhow::Result<Self> {
        let before = match file.as_deref().map(fs::read) {
            Some(Ok(bytes)) => serde_json::from_slice(&bytes).context("read the figures of the last run")?,
            _ => Vec::new(),
        };
        Ok(Self { file, rounds, before, now: Vec::new() })
    }

    /// Prints a table as soon as it is known, since all of them take minutes, and keeps it.
    pub(crate) fn add(&mut self, subject: &str, measured: &dyn Measured) -> anyhow::Result<()> {
        writeln!(std::io::stdout().lock(), "{measured}")?;
        let mut table = json!({ "subject": subject, "taken": self.taken() });
        if let (Some(table), Value::Object(measured)) = (table.as_object_mut(), measured.table()) {
            table.extend(measured);
        }
        self.now.push(table);
        self.write()
    }

    /// Prints how the ratios have changed.
    pub(crate) fn compare(&self) -> anyhow::Result<()> {
        if self.file.is_some() && !self.before.is_empty() {
            writeln!(std::io::stdout().lock(), "{}", report(&self.before, &self.now))?;
        }
        Ok(())
    }

    fn taken(&self) -> Value {
        let date = Command::new("date").args(["--utc", "+%Y-%m-%d"]).output();
        let date = date.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load: Option<f64> = load.split(' ').next().and_then(|load| load.parse().ok());
        let processors = std::thread::available_parallelism().map_or(0, usize::from);
        json!({ "date": date.unwrap_or_default(), "rounds": self.rounds, "load": load, "processors": processors })
    }

    /// Writes what there is; tables of the last run that were not measured this time stay.
    fn write(&self) -> anyhow::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let mut all = self.before.clone();
        for table in &self.now {
            let table = &with_targets(table.clone(), &self.before);
            match all.iter_mut().find(|old| old["title"] == table["title"]) {
                Some(old) => *old = table.clone(),
                None => all.push(table.clone()),
            }
        }
        let text = serde_json::to_string_pretty(&all)? + "\n";
        fs::write(file, text).with_context(|| format!("write {}", file.display()))
    }
}

/// Gives rows the targets that they had; what is measured says its own where it has one.
fn with_targets(mut table: Value, before: &[Value]) -> Value {
    let old = before.iter().find(|old| old["title"] == table["title"]).map(|old| old["rows"].clone());
    for row in table["rows"].as_array_mut().into_iter().flatten() {
        let mut rows = old.iter().filter_map(Value::as_array).flatten();
        let last = rows.find(|last| last["name"] == row["name"] && row["target"].is_null());
        let target = last.and_then(|last| last["target"].as_str());
        let most = target
            .and_then(|target| target.trim_start_matches("≤ ").trim_end_matches('×').parse::<f64>().ok());
        if let (Some(target), Some(most), Some(ratio)) = (target, most, row["ratio"].as_f64()) {
            row["target"] = target.into();
            row["met"] = (ratio <= most).into();
        }
    }
    table
}

/// Makes a row.
pub(crate) fn row(name: &str, figures: &[f64], ratio: Option<f64>) -> Map<String, Value> {
    let figures: Vec<_> = figures.iter().map(|figure| rounded(*figure)).collect();
    let mut row = Map::new();
    row.insert("name".to_owned(), name.into());
    row.insert("figures".to_owned(), figures.into());
    if let Some(ratio) = ratio.filter(|ratio| ratio.is_finite()) {
        row.insert("ratio".to_owned(), rounded(ratio));
    }
    row
}

/// Four digits are more than a measure has.
fn rounded(figure: f64) -> Value {
    format!("{figure:.3e}").parse::<f64>().ok().filter(|figure| figure.is_finite()).into()
}

/// Says which ratios are not what they were.
fn report(before: &[Value], now: &[Value]) -> String {
    let (mut lines, mut compared) = (String::new(), 0);
    for table in now {
        let Some(old) = before.iter().find(|old| old["title"] == table["title"]) else { continue };
        for row in table["rows"].as_array().into_iter().flatten() {
            let mut rows = old["rows"].as_array().into_iter().flatten();
            let last = rows.find(|old| old["name"] == row["name"]).and_then(|old| old["ratio"].as_f64());
            let (Some(last), Some(ratio)) = (last, row["ratio"].as_f64()) else { continue };
            compared += 1;
            let change = ratio / last - 1.0;
            if change.abs() >= NOTABLE {
                let (title, name) =
                    (table["title"].as_str().unwrap_or(""), row["name"].as_str().unwrap_or(""));
                let date = old["taken"]["date"].as_str().unwrap_or("?");
                let percent = change * 100.0;
                writeln!(lines, "  {title}: {name}: {last:.2}× ({date}) → {ratio:.2}×, {percent:+.0} %").ok();
            }
        }
    }
    format!("Compared with the last run: {compared} ratios, those that changed by a tenth or more:\n{lines}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(ratio: f64) -> Value {
        let rows = vec![row("control", &[2.0], Some(1.0)), row("ours", &[2.0 * ratio], Some(ratio))];
        json!({ "title": "A", "columns": ["ms"], "rows": rows, "taken": { "date": "2026-01-01" } })
    }

    #[test]
    fn a_ratio_that_changed_is_reported_and_one_that_did_not_is_not() {
        let text = report(&[table(1.0)], &[table(1.5)]);
        assert!(
            text.contains("2 ratios") && text.contains("  A: ours: 1.00× (2026-01-01) → 1.50×, +50 %"),
            "{text}"
        );
        assert!(!text.contains("control"), "{text}");
        assert!(!report(&[table(1.5)], &[table(1.55)]).contains("ours"));
        assert!(report(&[], &[table(1.5)]).contains("0 ratios"));
    }

    #[test]
    fn a_target_stays_with_its_row() {
        let mut old = table(1.0);
        old["rows"][1]["target"] = "≤ 1.2×".into();
        let now = with_targets(table(1.5), &[old.clone()]);
        assert_eq!((&now["rows"][1]["target"], &now["rows"][1]["met"]), (&json!("≤ 1.2×"), &json!(false)));
        assert_eq!(with_targets(table(1.1), &[old])["rows"][1]["met"], true);
        assert!(now["rows"][0]["target"].is_null());
    }

    #[test]
    fn tables_that_were_not_measured_again_stay_in_the_file() {
        struct One(&'static str, f64);
        impl Display for One {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.0)
            }
        }
        impl Measured for One {
            fn table(&self) -> Value {
                json!({ "title": self.0, "columns": ["ms"], "rows": [row("ours", &[self.1], None)] })
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("figures.json");
        for (title, figure) in [("a", 1.0), ("b", 2.0), ("a", 3.123_456)] {
            Record::new(Some(file.clone()), 1).unwrap().add("load", &One(title, figure)).unwrap();
        }
        let all: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        assert_eq!(all[0]["rows"][0]["figures"], json!([3.123]));
        assert_eq!((&all[1]["title"], &all[1]["taken"]["rounds"]), (&json!("b"), &json!(1)));
        assert_eq!(all.as_array().unwrap().len(), 2);
    }
}
