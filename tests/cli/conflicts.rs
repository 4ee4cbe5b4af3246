//! Conflicts that no merge settles: everything stays as it is, however much is accepted.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use claude_bottle::results::hash::of_document;
use claude_bottle::results::store::Store;

use crate::review::Review;
use crate::support::assert_says;
use crate::support::made::{Made, census};

/// All that could be accepted.
const ALL: [&str; 5] = ["apply", "-y", "--3way", "--accept", "runs,steers,odd,conflicts"];

#[test]
fn what_is_not_two_texts_of_one_file_is_never_merged() {
    let made = Made::new();
    for path in ["deleted-here", "deleted-there", "link-here", "directory-here", "bit-here", "link-there"] {
        made.before(path, "one\n").after(path, "two\n");
    }
    made.gone("deleted-there").gone("link-there").link("link-there", "elsewhere");
    made.before("bit-here", "one\n").after("bit-here", "one\n").gone("bit-here");
    made.after("new-there", "two\n");
    let review = Review::new(made);
    let here = review.made.here();
    for path in ["deleted-here", "link-here", "directory-here"] {
        fs::remove_file(here.join(path)).unwrap();
    }
    symlink("deleted-there", here.join("link-here")).unwrap();
    fs::create_dir(here.join("directory-here")).unwrap();
    fs::write(here.join("deleted-there"), "mine\n").unwrap();
    fs::write(here.join("link-there"), "mine\n").unwrap();
    fs::write(here.join("new-there"), "mine\n").unwrap();
    fs::set_permissions(here.join("bit-here"), fs::Permissions::from_mode(0o755)).unwrap();
    let before = census(&here);
    for words in [&["apply", "-y"][..], &ALL] {
        let said = review.ends(1, words);
        assert_says(&said, &["7 paths are not as they were copied in; nothing was written"]);
        for path in [
            "deleted-here",
            "deleted-there",
            "link-here",
            "directory-here",
            "bit-here",
            "link-there",
            "new-there",
        ] {
            assert_says(&said, &[&format!("  {path}: ")]);
        }
        assert_eq!(census(&here), before);
    }
}

#[test]
fn without_the_old_contents_nothing_is_merged() {
    let made = Made::new();
    made.before("a", "1\n2\n3\n").after("a", "1\n2\nthree\n");
    let review = Review::new(made);
    let store = Store::new(&review.made.path("state").join("claude-bottle"));
    let mut saved = store.all().unwrap().remove(0);
    // As of a file that had changed here already when the result was saved.
    saved.result.files[0].base_kept = false;
    saved.result.digest = String::new();
    saved.result.digest = of_document(&saved.result).unwrap();
    fs::write(saved.dir.join("result.json"), serde_json::to_vec(&saved.result).unwrap()).unwrap();
    fs::remove_dir_all(saved.dir.join("base")).unwrap();
    fs::create_dir(saved.dir.join("base")).unwrap();
    let here = review.made.here();
    fs::write(here.join("a"), "one\n2\n3\n").unwrap();
    review.ends(0, &["results", "verify"]);
    assert_says(
        &review.ends(1, &ALL),
        &["1 path is not as they were copied in; nothing was written", "  a: "],
    );
    assert_eq!(fs::read_to_string(here.join("a")).unwrap(), "one\n2\n3\n");
}
