//! Which records there are, and which of them are dead.

use super::*;

pub(crate) fn record(id: usize, phase: Phase) -> Record {
    Record {
        id: format!("run-{id:03}"),
        backend: "fake".to_owned(),
        agent: "a".to_owned(),
        bottle: "b".to_owned(),
        name: format!("fake-{id}"),
        owner: owner::this_process(),
        created_unix: id as u64,
        phase,
        instance: None,
        stage: None,
        policy: None,
        workspace: None,
        ended_unix: None,
        exit_code: None,
        timings: Vec::new(),
        log_end: None,
        saves: None,
        keeps: false,
        is_saved: false,
    }
}

#[test]
fn ended_runs_are_bounded_and_live_ones_stay() {
    let dir = tempfile::tempdir().unwrap();
    let runs = Runs::new(dir.path());
    runs.save(&record(0, Phase::Running)).unwrap();
    (1..=KEPT + 5).for_each(|id| runs.save(&record(id, Phase::Ended)).unwrap());
    runs.prune().unwrap();
    let left = runs.all().unwrap();
    assert_eq!(left.len(), KEPT + 1);
    assert_eq!((left[0].id.as_str(), left[1].id.as_str()), ("run-000", "run-006"));
}

#[test]
fn a_new_run_never_takes_the_directory_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let runs = Runs::new(dir.path());
    runs.create(&record(1, Phase::Running)).unwrap();
    let error = runs.create(&record(1, Phase::Creating)).unwrap_err();
    assert!(format!("{error:#}").contains("run-001"), "{error:#}");
    assert_eq!(runs.get("run-001").unwrap().phase, Phase::Running);
}

#[test]
fn two_that_prune_at_once_do_not_hinder_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let runs = Runs::new(dir.path());
    (1..=KEPT + 50).for_each(|id| runs.save(&record(id, Phase::Ended)).unwrap());
    std::thread::scope(|scope| {
        let prune = || scope.spawn(|| runs.prune());
        for thread in [prune(), prune(), prune()] {
            thread.join().unwrap().unwrap();
        }
    });
    assert_eq!(runs.all().unwrap().len(), KEPT);
}

#[test]
fn a_run_that_goes_on_and_whose_process_is_gone_is_dead() {
    let dir = tempfile::tempdir().unwrap();
    let runs = Runs::new(dir.path());
    runs.save(&record(1, Phase::Running)).unwrap();
    for (id, phase) in [(2, Phase::Creating), (3, Phase::Running), (4, Phase::Ended)] {
        let mut of_another = record(id, phase);
        // A process number that was given out again.
        of_another.owner.started += 1;
        runs.save(&of_another).unwrap();
    }
    let mut elsewhere = record(5, Phase::Running);
    elsewhere.owner.host = "another-machine".to_owned();
    runs.save(&elsewhere).unwrap();
    let dead: Vec<_> = runs.dead().unwrap().into_iter().map(|record| record.id).collect();
    assert_eq!(dead, ["run-002", "run-003"]);
}

#[test]
fn half_written_files_go_and_whole_ones_stay() {
    let dir = tempfile::tempdir().unwrap();
    let runs = Runs::new(dir.path());
    runs.save(&record(1, Phase::Ended)).unwrap();
    for name in [".tmpAb12Cd", "egress.tmp", "egress.jsonl"] {
        fs::write(runs.dir("run-001").join(name), "{").unwrap();
    }
    runs.bury(&record(1, Phase::Ended)).unwrap();
    let left = fs::read_dir(runs.dir("run-001")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut left: Vec<_> = left.collect();
    left.sort();
    assert_eq!(left, ["egress.jsonl", "record.json"]);
}

#[test]
fn no_other_user_can_read_a_record() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let runs = Runs::new(dir.path());
    runs.save(&record(1, Phase::Creating)).unwrap();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(runs.dir("run-001")), 0o700);
    assert_eq!(mode(runs.dir("run-001").join(FILE)), 0o600);
}

#[test]
fn a_damaged_record_does_not_hide_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let runs = Runs::new(dir.path());
    runs.save(&record(1, Phase::Running)).unwrap();
    fs::create_dir_all(runs.dir("broken")).unwrap();
    fs::write(runs.dir("broken").join(FILE), "{").unwrap();
    assert_eq!(runs.all().unwrap().len(), 1);
}
