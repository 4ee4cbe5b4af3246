//! Decisions as a table that grows, or as the lines they are.

use claude_bottle_egress_policy::{LogEvent, LogRecord, Verdict};

use super::super::Format;
use crate::egress::summary::place;
use crate::ui::{Ui, clean, clean_json};

/// The target's column is at least this wide, since wider ones may follow.
const TARGET_WIDTH: usize = 28;
/// As wide as `2026-01-02T03:04:05.678Z`.
const TIME_WIDTH: usize = 24;

/// A table of decisions whose end is not known when it is begun.
pub(super) struct Decisions<'a> {
    ui: &'a Ui,
    format: Format,
    /// The width of the target's column, once the heads are printed.
    width: Option<usize>,
}

impl<'a> Decisions<'a> {
    pub(super) fn new(ui: &'a Ui, format: Format) -> Self {
        Self { ui, format, width: None }
    }

    /// Prints lines of the log.
    pub(super) fn show(&mut self, lines: &[String]) {
        if self.format == Format::Json {
            lines.iter().for_each(|line| self.ui.data(&clean_json(line)));
            return;
        }
        let rows: Vec<Row> = lines.iter().filter_map(|line| row(line)).collect();
        let Some(widest) = rows.iter().map(|row| row.target.chars().count()).max() else { return };
        let width = *self.width.get_or_insert_with(|| {
            let width = widest.max(TARGET_WIDTH);
            self.ui.data(&format!("{:<TIME_WIDTH$}  VERDICT  {:<width$}  REASON", "TIME", "HOST"));
            width
        });
        for Row { time, verdict, target, reason } in rows {
            self.ui.data(&format!("{time:<TIME_WIDTH$}  {verdict:<7}  {target:<width$}  {reason}"));
        }
    }
}

struct Row {
    time: String,
    verdict: &'static str,
    target: String,
    reason: String,
}

/// Returns a line's row; the orderly end of a tunnel has none. A line of another proxy is shown as it is.
fn row(line: &str) -> Option<Row> {
    let Ok(record) = serde_json::from_str::<LogRecord>(line) else {
        let (time, target) = ("-".to_owned(), "-".to_owned());
        return Some(Row { time, verdict: "-", target, reason: cell(line) });
    };
    if record.event == LogEvent::Close && record.verdict == Verdict::Allow {
        return None;
    }
    let verdict = match record.verdict {
        Verdict::Allow => "allow",
        Verdict::Deny => "deny",
        Verdict::Warn => "warn",
        Verdict::Error => "error",
    };
    let target = cell(&place(&record.host, record.port));
    Some(Row { time: cell(&record.time), verdict, target, reason: cell(&record.reason) })
}

fn cell(text: &str) -> String {
    clean(text).replace(['\n', '\t'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(event: &str, verdict: &str, host: &str) -> String {
        format!(
            r#"{{"time":"2026-01-02T03:04:05.678Z","event":"{event}","connection":1,"bottle":"b","client":"unix","method":"CONNECT","host":"{host}","port":443,"verdict":"{verdict}","code":"x","reason":"why","bytes_up":0,"bytes_down":0,"duration_ms":1}}"#
        )
    }

    #[test]
    fn what_a_line_shows() {
        let check = |line: &str, expected: Option<&str>| {
            let shown = row(line).map(|row| [&row.time, row.verdict, &row.target, &row.reason].join(" | "));
            assert_eq!(shown.as_deref(), expected);
        };
        check(&line("request", "deny", "a.test"), Some("2026-01-02T03:04:05.678Z | deny | a.test:443 | why"));
        check(&line("close", "allow", "a.test"), None);
        check(&line("close", "deny", ""), Some("2026-01-02T03:04:05.678Z | deny | - | why"));
        check("other\u{1b}[2J text", Some("- | - | - | other\\u{1b}[2J text"));
    }
}
