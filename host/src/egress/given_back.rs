//! What an agent has given back of what it was allowed while its bottle runs: the guard has taken it out, and says so in the decision
//! log.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use claude_bottle_egress_policy::{GIVE_BACK, Link, LogEvent, LogRecord};

use super::summary;

/// The longest line that is read; the guard cuts host and reason far below it.
const MOST_BYTES: u64 = 64 * 1024;

/// A host that an agent gave back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GivenBack {
    /// When, in UTC.
    pub(super) time: String,
    /// For what, `HOST[:PORT]`.
    pub(super) place: String,
    /// The number of its line in the log.
    pub(super) line: u64,
}

/// Returns what was given back behind a line of a run's decision log, in order.
///
/// # Errors
/// Fails when a file of the log is there and cannot be read.
pub(super) fn after(run_dir: &Path, seen: u64) -> io::Result<Vec<GivenBack>> {
    let mut found = Vec::new();
    for file in summary::files(run_dir) {
        match File::open(file) {
            Ok(open) => read(BufReader::new(open), seen, &mut found)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn read(mut log: impl BufRead, seen: u64, found: &mut Vec<GivenBack>) -> io::Result<()> {
    let mut line = Vec::new();
    while log.by_ref().take(MOST_BYTES).read_until(b'\n', &mut line)? > 0 {
        // Most lines are about something else, and are not parsed for it.
        let may_be = line.windows(GIVE_BACK.len()).any(|word| word == GIVE_BACK.as_bytes());
        if may_be && let Some(given) = parse(&line).filter(|given| given.line > seen) {
            found.push(given);
        }
        line.clear();
    }
    Ok(())
}

fn parse(line: &[u8]) -> Option<GivenBack> {
    let record: LogRecord = serde_json::from_slice(line).ok()?;
    let line = Link::read(line)?.line;
    let is_given = record.event == LogEvent::Policy && record.method == GIVE_BACK;
    is_given.then_some(GivenBack { time: record.time, place: record.host, line })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_guard_about_it_are_found_and_no_request_of_that_name() {
        let dir = tempfile::tempdir().unwrap();
        let line = |number: u64, event: &str, method: &str, host: &str| {
            format!(
                r#"{{"time":"2026-01-02T03:04:05.678Z","event":"{event}","connection":0,"bottle":"b","client":"","method":"{method}","host":"{host}","port":0,"verdict":"allow","code":"allowed","reason":"","bytes_up":0,"bytes_down":0,"duration_ms":0,"line":{number},"before":"{}"}}"#,
                "0".repeat(64)
            ) + "\n"
        };
        let text = [
            line(1, "policy", "GIVEBACK", "a.test"),
            line(2, "request", "GIVEBACK", "b.test"),
            line(3, "policy", "", "c.test"),
            line(4, "policy", "GIVEBACK", "d.test:22"),
            "GIVEBACK\n".to_owned(),
        ];
        assert_eq!(after(dir.path(), 0).unwrap(), []);
        std::fs::write(dir.path().join("egress.jsonl"), text.concat()).unwrap();
        let places = |seen| {
            let found = after(dir.path(), seen).unwrap();
            found.into_iter().map(|given| (given.line, given.place)).collect::<Vec<_>>()
        };
        assert_eq!(places(0), [(1, "a.test".to_owned()), (4, "d.test:22".to_owned())]);
        assert_eq!(places(1), [(4, "d.test:22".to_owned())]);
        assert_eq!(places(4), []);
    }
}
