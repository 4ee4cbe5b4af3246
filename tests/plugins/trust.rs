//! Files and directories another user could have written to.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::Path;

use claude_bottle::plugins::Identity;

use crate::support::{Place, assert_says, set_mode};

/// Somebody who is neither root nor the one who runs the tests.
const STRANGER: u32 = 54_321;

/// Gives a file away: to a stranger where the tests run as root, else by being a stranger to its owner.
fn give_away(place: &mut Place, path: &Path) {
    if place.identity.uid == 0 {
        // A link is given away itself, not what it leads to.
        std::os::unix::fs::lchown(path, Some(STRANGER), None).unwrap();
    } else {
        place.identity.uid = STRANGER;
    }
}

#[test]
fn a_file_of_ones_own_is_loaded() {
    Place::with_fake().load("fake").unwrap();
}

#[test]
fn a_file_others_can_write() {
    let place = Place::with_fake();
    set_mode(&place.file("fake"), 0o646);
    let text = place.refused("fake", "file-writable");
    assert_says(&text, &["every user", "mode 0646", "chmod go-w"]);
}

#[test]
fn a_file_a_group_can_write() {
    let mut place = Place::with_fake();
    let group = fs::metadata(place.file("fake")).unwrap().gid();
    set_mode(&place.file("fake"), 0o664);
    place.identity.private_group = Some(group);
    place.load("fake").unwrap();
    place.identity.private_group = Some(group + 1);
    assert_says(&place.refused("fake", "file-writable"), &[&format!("group {group}"), "mode 0664"]);
    place.identity.private_group = None;
    place.refused("fake", "file-writable");
}

#[test]
fn an_access_list_is_not_taken_for_the_private_group() {
    let mut place = Place::with_fake();
    place.identity.private_group = Some(fs::metadata(place.file("fake")).unwrap().gid());
    // acl(5) as the kernel stores it: version 2, then tag, permissions and id of each entry.
    let entry = |tag: u16, permissions: u16, id: u32| {
        [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let none = u32::MAX;
    let list = [
        2_u32.to_le_bytes().to_vec(),
        entry(0x01, 6, none),
        entry(0x02, 6, STRANGER),
        entry(0x04, 4, none),
        entry(0x10, 6, none),
        entry(0x20, 4, none),
    ]
    .concat();
    let flags = rustix::fs::XattrFlags::empty();
    match rustix::fs::setxattr(place.file("fake"), "system.posix_acl_access", &list, flags) {
        Ok(()) => assert_says(&place.refused("fake", "file-writable"), &["group"]),
        Err(error) => {
            // A file system without access lists cannot have the fault either.
            assert_eq!(error, rustix::io::Errno::NOTSUP);
            println!("skipped: the file system of the temporary directory has no access lists");
        }
    }
}

#[test]
fn a_directory_others_can_write() {
    let place = Place::with_fake();
    for mode in [0o777, 0o1777, 0o757] {
        set_mode(place.path(), mode);
        let text = place.refused("fake", "directory-writable");
        assert_says(&text, &["the directory", "every user", &format!("mode {mode:04o}"), "chmod go-w"]);
    }
}

#[test]
fn a_directory_further_up_that_others_can_write() {
    let outer = Place::new();
    let mut place = Place::with_fake();
    let inner = outer.path().join("inner");
    fs::create_dir(&inner).unwrap();
    fs::rename(place.file("fake"), inner.join("claude-bottle-backend-fake.so")).unwrap();
    place.identity = Identity::current();
    let search = |path: &Path| {
        claude_bottle::plugins::SearchPath::new(claude_bottle::plugins::SearchInputs {
            plugin_path: Some(path.into()),
            identity: Identity::current(),
            ..Default::default()
        })
    };
    let load = || claude_bottle::plugins::registry::load(&search(&inner), &place.pins, "fake");
    set_mode(outer.path(), 0o777);
    assert_eq!(load().unwrap_err().code(), "directory-writable");
    // In a sticky directory nobody but its owner can replace `inner`.
    set_mode(outer.path(), 0o1777);
    load().unwrap();
}

#[test]
fn a_file_of_another_user() {
    let mut place = Place::with_fake();
    let file = place.file("fake");
    give_away(&mut place, &file);
    // Where the tests do not run as root, the directory is the stranger's first.
    let code = if place.identity.uid == 0 { "file-owner" } else { "directory-owner" };
    assert_says(
        &place.refused("fake", code),
        &["belongs to user", "neither root nor you", "if you trust the file"],
    );
}

#[test]
fn a_directory_of_another_user() {
    let mut place = Place::with_fake();
    let directory = place.path().to_owned();
    give_away(&mut place, &directory);
    assert_says(&place.refused("fake", "directory-owner"), &["the directory", "belongs to user"]);
    if place.identity.uid == 0 {
        chown(&directory, Some(0), None).unwrap();
    }
}

#[test]
fn a_file_of_roots_is_trusted_by_everybody() {
    let root_owned = Path::new("/etc/passwd");
    assert_eq!(fs::metadata(root_owned).unwrap().uid(), 0);
    let identity = Identity { uid: STRANGER, ..Identity::default() };
    claude_bottle::plugins::guard::open(root_owned, &identity).unwrap();
}

#[test]
fn a_link_into_a_directory_others_can_write() {
    let unsafe_place = Place::with_fake();
    set_mode(unsafe_place.path(), 0o777);
    let place = Place::new();
    symlink(unsafe_place.file("fake"), place.file("fake")).unwrap();
    assert_says(&place.refused("fake", "directory-writable"), &[unsafe_place.path().to_str().unwrap()]);
}

#[test]
fn a_link_through_a_directory_others_can_write() {
    // good → bad/link → good target: the end is fine, but the middle can be turned by anybody.
    let (target, middle, place) = (Place::with_fake(), Place::new(), Place::new());
    symlink(target.path(), middle.path().join("turn")).unwrap();
    symlink(middle.path().join("turn/claude-bottle-backend-fake.so"), place.file("fake")).unwrap();
    place.load("fake").unwrap();
    set_mode(middle.path(), 0o777);
    assert_says(&place.refused("fake", "directory-writable"), &[middle.path().to_str().unwrap()]);
}

#[test]
fn a_link_of_another_user_and_links_in_a_circle() {
    let target = Place::with_fake();
    let mut place = Place::new();
    let link = place.file("fake");
    symlink(target.file("fake"), &link).unwrap();
    place.load("fake").unwrap();
    give_away(&mut place, &link);
    place.refused("fake", if place.identity.uid == 0 { "link-owner" } else { "directory-owner" });

    let circle = Place::new();
    symlink(circle.file("fake"), circle.path().join("other")).unwrap();
    symlink(circle.path().join("other"), circle.file("fake")).unwrap();
    circle.refused("fake", "link-loop");
}

#[test]
fn relative_links_are_followed_from_where_they_are() {
    let place = Place::with_fake();
    fs::create_dir(place.path().join("real")).unwrap();
    fs::rename(place.file("fake"), place.path().join("real/file.so")).unwrap();
    symlink("real/../real/file.so", place.file("fake")).unwrap();
    let loaded = place.load("fake").unwrap();
    assert_eq!(loaded.path, place.path().canonicalize().unwrap().join("real/file.so"));
}
