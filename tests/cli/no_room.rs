//! `apply` and `apply --undo` on a file system that is full, or that nothing can be written to: all of a result is taken, or nothing.

use std::path::PathBuf;
use std::process::Command;

use crate::review::Review;
use crate::support::made::{Made, census};
use crate::support::{assert_says, stderr};

/// The user's directory on a file system of its own, in memory.
struct Small {
    here: PathBuf,
}

impl Small {
    /// Mounts one of a size over the user's directory, and fills it with what was there.
    fn under(made: &Made, size: &str) -> Self {
        let here = made.here();
        let script = "mount -t tmpfs -o size=\"$3\" none \"$1\" && cp -r \"$2/.\" \"$1\"";
        let output = Command::new("sh")
            .args(["-ec", script, "sh"])
            .arg(&here)
            .arg(made.path("before"))
            .arg(size)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        Self { here }
    }

    /// Mounts it anew with other options, with the files that it has.
    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        let output = Command::new("mount").args(["-o", &options]).arg(&self.here).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        Command::new("umount").arg("--lazy").arg(&self.here).status().unwrap();
    }
}

/// A result whose later files do not fit where its first ones do.
fn large() -> Made {
    let made = Made::new();
    made.before("edited", "one\n").after("edited", "two\n").before("gone", "x".repeat(20_000)).gone("gone");
    for number in 0..8 {
        made.after(format!("new/{number}"), "y".repeat(20_000));
    }
    made
}

#[test]
fn a_result_that_does_not_fit_changes_nothing() {
    let review = Review::new(large());
    let small = Small::under(&review.made, "128k");
    let before = census(&review.made.here());
    assert_says(&review.ends(1, &["apply", "-y"]), &["No space left on device"]);
    assert_eq!(census(&review.made.here()), before);
    // With room, the same command takes it.
    small.remount("size=4m");
    review.ends(0, &["apply", "-y"]);
    review.is_as("after");
    review.ends(0, &["apply", "--undo", "-y"]);
    assert_eq!(census(&review.made.here()), before);
}

#[test]
fn what_does_not_fit_when_a_result_is_taken_back_leaves_it_taken() {
    let made = Made::new();
    made.before("edited", "one\n").after("edited", "two\n");
    for number in 0..8 {
        made.before(format!("old/{number}"), "x".repeat(20_000)).gone(&format!("old/{number}"));
    }
    let review = Review::new(made);
    let small = Small::under(&review.made, "4m");
    let before = census(&review.made.here());
    review.ends(0, &["apply", "-y"]);
    small.remount("size=64k");
    assert_says(&review.ends(1, &["apply", "--undo", "-y"]), &["No space left on device"]);
    review.is_as("after");
    small.remount("size=4m");
    review.ends(0, &["apply", "--undo", "-y"]);
    assert_eq!(census(&review.made.here()), before);
}

#[test]
fn a_directory_that_cannot_be_written_to_is_named() {
    let review = Review::new(large());
    let small = Small::under(&review.made, "4m");
    let before = census(&review.made.here());
    small.remount("ro");
    assert_says(&review.ends(1, &["apply", "-y"]), &["Read-only file system"]);
    small.remount("rw");
    assert_eq!(census(&review.made.here()), before);
    review.ends(0, &["apply", "-y"]);
    review.is_as("after");
}
