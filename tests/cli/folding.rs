//! `apply` on a file system that takes two spellings for one name, and that can neither exchange nor refuse to replace by a rename.
//!
//! It is NTFS by FUSE: the kernels that tests run on seldom have a file system of their own that folds case.

use std::path::PathBuf;
use std::process::Command;

use crate::review::Review;
use crate::support::made::{Made, census};
use crate::support::{assert_says, stderr};

/// The user's directory on such a file system.
struct Folding {
    here: PathBuf,
    image: PathBuf,
}

impl Folding {
    /// Mounts one over the user's directory, and fills it with what was there.
    fn under(made: &Made) -> Self {
        let (here, image) = (made.here(), made.path("image"));
        let script = "truncate -s 16M \"$2\" && mkntfs -q -F -Q \"$2\" && lowntfs-3g -o ignore_case,permissions \"$2\" \"$1\" && \
                      cp -r \"$3/.\" \"$1\"";
        let mut sh = Command::new("sh");
        let output =
            sh.args(["-ec", script, "sh"]).arg(&here).arg(&image).arg(made.path("before")).output().unwrap();
        assert!(output.status.success(), "tests/setup/test-tools.sh installs ntfs-3g: {}", stderr(&output));
        Self { here, image }
    }
}

impl Drop for Folding {
    fn drop(&mut self) {
        Command::new("umount").arg("--lazy").arg(&self.here).status().unwrap();
        std::fs::remove_file(&self.image).ok();
    }
}

#[test]
fn a_result_is_taken_and_taken_back_where_case_is_folded_and_a_rename_cannot_exchange() {
    let made = Made::new();
    made.before("src/edited", "one\n").after("src/edited", "two\n").before("gone", "x\n").gone("gone");
    made.before("retyped", "x\n").link("retyped", "src").after("new/deep/file", "new\n");
    let review = Review::new(made);
    let _folding = Folding::under(&review.made);
    let before = census(&review.made.here());
    review.ends(0, &["apply", "-y"]);
    review.is_as("after");
    // The user's later edit stays.
    std::fs::write(review.made.here().join("SRC/EDITED"), "mine\n").unwrap();
    assert_says(&review.ends(1, &["apply", "-y"]), &["src/edited: it was changed here since"]);
    std::fs::write(review.made.here().join("SRC/EDITED"), "two\n").unwrap();
    review.ends(0, &["apply", "--undo", "-y"]);
    assert_eq!(census(&review.made.here()), before);
}

#[test]
fn names_that_are_one_where_case_is_folded_stop_everything() {
    let twins = Made::new();
    twins.before("kept", "x\n").after("net/xt_CONNMARK.h", "upper\n").after("net/xt_connmark.h", "lower\n");
    twins.after("other", "x\n");
    let here = Made::new();
    here.before("readme", "mine\n").after("README", "theirs\n").after("other", "x\n");
    for (made, says) in [
        (twins, "net/xt_CONNMARK.h: this file system takes it and another path of the result for the same"),
        (here, "README: a file of that name is here now"),
    ] {
        let review = Review::new(made);
        let _folding = Folding::under(&review.made);
        let before = census(&review.made.here());
        assert_says(&review.ends(1, &["apply", "-y"]), &[says]);
        assert_eq!(census(&review.made.here()), before);
    }
}
