//! Decisions as a table that grows, or as the lines they are.

use std::borrow::Cow;

use claude_bottle_egress_policy::{LogEvent, Verdict};

use super::super::Format;
use crate::egress::decision::{self, Decision, Line};
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
    /// The run they are of.
    run: &'a str,
    /// The width of the target's column, once the heads are printed.
    width: Option<usize>,
}

impl<'a> Decisions<'a> {
    pub(super) fn new(ui: &'a Ui, format: Format, run: &'a str) -> Self {
        Self { ui, format, run, width: None }
    }

    /// Prints lines of the log.
    pub(super) fn show(&mut self, lines: &[String]) {
        if self.format == Format::Json {
            lines.iter().for_each(|line| self.ui.data(&clean_json(&json(line, self.run))));
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

/// Returns a line as JSON: of another proxy in the guard's form or without its requests, any other line as it is.
fn json<'l>(line: &'l str, run: &str) -> Cow<'l, str> {
    let record = match decision::line(line.as_bytes(), run) {
        Some(Line::Decision(Decision { record, knows_ports: false }) | Line::Remark(record)) => record,
        Some(Line::Notice(notice)) => return Cow::Owned(notice.json),
        _ => return Cow::Borrowed(line),
    };
    serde_json::to_string(&record).map_or(Cow::Borrowed(line), Cow::Owned)
}

/// Returns a line's row; the orderly end of a tunnel has none. A line that no proxy of ours wrote is shown as it is.
fn row(line: &str) -> Option<Row> {
    let record = match decision::line(line.as_bytes(), "") {
        Some(Line::Decision(Decision { record, .. }) | Line::Remark(record)) => record,
        Some(Line::Notice(notice)) => return Some(plain(&notice.time, &notice.text)),
        None => return Some(plain("-", line)),
    };
    // What was answered is told by the change of the policy, and by the request itself.
    let is_told = record.event == LogEvent::Answer;
    if is_told || record.event == LogEvent::Close && record.verdict == Verdict::Allow {
        return None;
    }
    if record.event == LogEvent::Policy {
        return Some(plain(&record.time, &record.reason));
    }
    let verdict = match record.verdict {
        _ if record.event == LogEvent::Ask => "ask",
        Verdict::Allow => "allow",
        Verdict::Deny => "deny",
        Verdict::Warn => "warn",
        Verdict::Error => "error",
    };
    let target = cell(&place(&record.host, record.port));
    let reason = match &record.why {
        Some(why) => cell(&format!("{}; the agent says: \"{why}\"", record.reason)),
        None => cell(&record.reason),
    };
    Some(Row { time: cell(&record.time), verdict, target, reason })
}

/// Returns the row of a line that is not about a request.
fn plain(time: &str, text: &str) -> Row {
    Row { time: cell(time), verdict: "-", target: "-".to_owned(), reason: cell(text) }
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
        check(&line("ask", "deny", "a.test"), Some("2026-01-02T03:04:05.678Z | ask | a.test:443 | why"));
        check(&line("answer", "deny", "a.test"), None);
        check(&line("policy", "allow", ""), Some("2026-01-02T03:04:05.678Z | - | - | why"));
        check(&line("close", "deny", ""), Some("2026-01-02T03:04:05.678Z | deny | - | why"));
        let pipelock = r#"{"component":"pipelock","event":"blocked","method":"CONNECT","target":"b.test:443","scanner":"allowlist","reason":"no","time":"2026-01-02T03:04:05Z"}"#;
        check(pipelock, Some("2026-01-02T03:04:05Z | deny | b.test:443 | no"));
        check("other\u{1b}[2J text", Some("- | - | - | other\\u{1b}[2J text"));
    }

    /// As pipelock writes a finding that it let through, and a line about itself.
    const REMARK: &str = r#"{"level":"warn","component":"pipelock","event":"response_scan","method":"GET","url":"http://b.test/p?q=r","client_ip":"172.18.0.3","request_id":"req-2","action":"warn","match_count":1,"patterns":["Prompt Injection"],"time":"2026-01-02T03:04:05Z","message":"m"}"#;
    const NOTICE: &str = r#"{"level":"info","component":"pipelock","event":"redirect","original_url":"http://b.test/p?q=r","redirect_url":"http://c.test/?s","time":"2026-01-02T03:04:05Z","message":"redirect followed"}"#;

    #[test]
    fn what_stopped_nothing_is_a_readable_row_without_the_url() {
        let shown = |line: &str| {
            let row = row(line).unwrap();
            [&row.time, row.verdict, &row.target, &row.reason].join(" | ")
        };
        assert_eq!(shown(REMARK), "2026-01-02T03:04:05Z | warn | b.test:80 | Prompt Injection");
        assert_eq!(shown(NOTICE), "2026-01-02T03:04:05Z | - | - | redirect: redirect followed to c.test");
        let remark = json(REMARK, "r-1");
        assert!(remark.contains(r#""verdict":"warn","code":"pipelock_response_scan""#), "{remark}");
        for line in [&remark, &json(NOTICE, "r-1")] {
            assert!(!line.contains("q=r") && !line.contains("/?s"), "{line}");
        }
    }

    #[test]
    fn json_has_every_decision_in_one_form() {
        let ours = line("request", "deny", "a.test");
        assert_eq!(json(&ours, "r-1"), ours);
        assert_eq!(json("panic: text", "r-1"), "panic: text");
        let pipelock = r#"{"component":"pipelock","event":"tunnel_open","target":"b.test:443","client_ip":"172.18.0.3","time":"2026-01-02T03:04:05Z"}"#;
        let expected = r#"{"time":"2026-01-02T03:04:05Z","event":"request","connection":0,"bottle":"r-1","client":"172.18.0.3","method":"CONNECT","host":"b.test","port":443,"verdict":"allow","code":"allowed","reason":"allowed by pipelock","bytes_up":0,"bytes_down":0,"duration_ms":0}"#;
        assert_eq!(json(pipelock, "r-1"), expected);
    }
}
