//! A log on the disk, and every way to change its files.

use std::path::PathBuf;

use super::*;

/// A log of nine lines that was full twice: lines 1 and 2 are counted, 3 to 6 in the older file.
struct Log {
    dir: tempfile::TempDir,
    end: End,
}

impl Log {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = summary::log(dir.path());
        let mut head = Head::default();
        let mut text = Vec::new();
        for number in 1..=9 {
            let line = head.stamp(
                format!(r#"{{"time":"t","event":"request","connection":{number},"bottle":"b","client":"unix","method":"CONNECT","host":"h{number}.test","port":443,"verdict":"deny","code":"c","reason":"r","bytes_up":0,"bytes_down":0,"duration_ms":1}}"#)
                    .as_bytes(),
            );
            head = head.after(&line);
            text.extend(line);
            fs::write(&log, &text).unwrap();
            if matches!(number, 2 | 6) {
                rotation::rotate(&log).unwrap();
                text.clear();
            }
        }
        let end = rotation::end(&log).unwrap();
        assert_eq!((end.head, rotation::begin(&log).unwrap().line), (head, 2));
        Self { dir, end }
    }

    fn file(&self, suffix: &str) -> PathBuf {
        self.dir.path().join(format!("egress.jsonl{suffix}"))
    }

    fn lines(&self, suffix: &str) -> Vec<String> {
        let text = fs::read_to_string(self.file(suffix)).unwrap();
        text.split_inclusive('\n').map(str::to_owned).collect()
    }

    fn check(&self) -> Checked {
        check(self.dir.path(), Some(self.end), true).unwrap()
    }

    /// Returns where and what the problems are after the lines of a file were replaced.
    fn with(&self, suffix: &str, lines: &[String]) -> Vec<String> {
        let before = fs::read(self.file(suffix)).unwrap();
        fs::write(self.file(suffix), lines.concat()).unwrap();
        let checked = self.check();
        fs::write(self.file(suffix), before).unwrap();
        assert_eq!(checked.state, State::Broken);
        checked
            .problems
            .iter()
            .map(|problem| format!("{}:{} {}", problem.file, problem.at, problem.text))
            .collect()
    }
}

#[test]
fn a_log_that_nothing_touched_is_intact_over_its_changes_of_files() {
    let log = Log::new();
    let checked = log.check();
    assert_eq!(checked.state, State::Intact, "{:?}", checked.problems);
    assert_eq!((checked.lines, checked.dropped, checked.head.line), (7, 2, 9));
    assert_eq!(check(log.dir.path(), None, false).unwrap().state, State::IntactSoFar);
    assert_eq!(check(log.dir.path(), None, true).unwrap().state, State::NoEnd);
}

#[test]
fn a_run_without_a_request_has_an_end_too() {
    let dir = tempfile::tempdir().unwrap();
    let end = rotation::end(&summary::log(dir.path())).unwrap();
    assert_eq!(check(dir.path(), Some(end), true).unwrap().state, State::Intact);
    let line = Head::default().stamp(b"{\"host\":\"a.test\"}");
    fs::write(summary::log(dir.path()), line).unwrap();
    assert_eq!(
        check(dir.path(), Some(end), true).unwrap().problems[0].found,
        Break::Added { from: 1, to: 1 }
    );
}

#[test]
fn every_changed_byte_of_every_file_is_found() {
    let log = Log::new();
    for suffix in ["", ".1", ".dropped"] {
        let path = log.file(suffix);
        let text = fs::read(&path).unwrap();
        for at in 0..text.len() {
            for to in [text[at] ^ 1, b'\n'] {
                if to == text[at] {
                    continue;
                }
                let mut changed = text.clone();
                changed[at] = to;
                fs::write(&path, &changed).unwrap();
                // What is written down of dropped lines may not be readable any more.
                let found = check(log.dir.path(), Some(log.end), true);
                assert!(
                    found.is_err() || found.unwrap().state == State::Broken,
                    "{suffix}, byte {at} to {to}"
                );
            }
        }
        fs::write(&path, text).unwrap();
    }
    assert_eq!(log.check().state, State::Intact);
}

#[test]
fn every_removed_line_and_every_cut_is_found() {
    let log = Log::new();
    for suffix in ["", ".1"] {
        let lines = log.lines(suffix);
        for at in 0..lines.len() {
            let mut left = lines.clone();
            left.remove(at);
            assert!(!log.with(suffix, &left).is_empty());
        }
        let text = lines.concat();
        for end in 0..text.len() {
            assert!(!log.with(suffix, &[text[..end].to_owned()]).is_empty(), "{suffix} cut at {end}");
            assert!(!log.with(suffix, &[text[end + 1..].to_owned()]).is_empty(), "{suffix} cut until {end}");
        }
    }
    let lines = log.lines("");
    assert_eq!(log.with("", &lines[..1]), ["egress.jsonl:2 cut out: lines 8 to 9"]);
    assert_eq!(log.with("", &lines[1..]), ["egress.jsonl:1 cut out: line 7"]);
}

#[test]
fn swapped_moved_and_added_lines_are_found() {
    let log = Log::new();
    let (lines, older) = (log.lines(""), log.lines(".1"));
    for (suffix, lines) in [("", &lines), (".1", &older)] {
        for one in 0..lines.len() {
            for other in one + 1..lines.len() {
                let mut swapped = lines.clone();
                swapped.swap(one, other);
                assert!(!log.with(suffix, &swapped).is_empty());
            }
            for added in ["\n", "{}\n", "{\"host\":\"a.test\",\"port\":443}\n", &older[1]] {
                let mut longer = lines.clone();
                longer.insert(one, added.to_owned());
                assert!(!log.with(suffix, &longer).is_empty());
            }
        }
    }
    let mut swapped = lines.clone();
    swapped.swap(0, 1);
    assert_eq!(
        log.with("", &swapped),
        ["egress.jsonl:1 cut out: line 7", "egress.jsonl:2 line 7 is out of its place: moved, or added"]
    );
    let forged = String::from_utf8(log.end.head.stamp(b"{\"host\":\"a.test\"}")).unwrap();
    let longer = [lines, vec![forged]].concat();
    assert_eq!(log.with("", &longer), ["egress.jsonl:4 added after the end of the run: line 10"]);
}

#[test]
fn a_file_that_is_gone_or_in_the_place_of_another_is_found() {
    for suffixes in
        [vec![""], vec![".1"], vec![".dropped"], vec![".1", ".dropped"], vec!["", ".1", ".dropped"]]
    {
        let log = Log::new();
        suffixes.iter().for_each(|suffix| fs::remove_file(log.file(suffix)).unwrap());
        assert_eq!(log.check().state, State::Broken, "{suffixes:?}");
    }
    let log = Log::new();
    fs::rename(log.file(""), log.file(".1")).unwrap();
    assert_eq!(log.check().state, State::Broken);
    // A full log in the usual way, after the end.
    let log = Log::new();
    rotation::rotate(&log.file("")).unwrap();
    assert_eq!(log.check().problems[0].found, Break::Dropped);
}

#[test]
fn a_log_without_hashes_is_said_to_be_one() {
    let dir = tempfile::tempdir().unwrap();
    let log = summary::log(dir.path());
    fs::write(&log, "{\"component\":\"pipelock\",\"event\":\"startup\"}\n").unwrap();
    let end = rotation::end(&log).unwrap();
    for recorded in [None, Some(end)] {
        assert_eq!(check(dir.path(), recorded, true).unwrap().state, State::NoHashes);
    }
    // The record of the run tells of a chain.
    assert_eq!(check(dir.path(), Some(Log::new().end), true).unwrap().state, State::Broken);
}

#[test]
fn a_line_that_is_being_written_is_not_a_problem_of_a_run_that_goes_on() {
    let log = Log::new();
    let text = log.lines("").concat();
    fs::write(log.file(""), &text[..text.len() - 9]).unwrap();
    assert_eq!(check(log.dir.path(), None, false).unwrap().state, State::IntactSoFar);
    assert_eq!(log.check().state, State::Broken);
}
