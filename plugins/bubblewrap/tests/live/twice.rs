//! The whole suite once more, as an ordinary user.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{AGAIN, installers, programs};

/// `nobody`, who is in every list of users: `ssh-keygen` wants that.
const USER: u32 = 65_534;

#[test]
fn everything_again_as_an_ordinary_user() {
    if !rustix::process::geteuid().is_root() {
        return; // The tests run as an ordinary user as it is.
    }
    // A directory that every user can enter, wherever this one's temporary files are.
    let home = tempfile::Builder::new().prefix("claude-bottle-live-").tempdir_in("/var/tmp").unwrap();
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    chown(home.path(), Some(USER), Some(USER)).unwrap();
    let mut again = Command::new(copy_of_the_programs(home.path()));
    again.args(["--skip", "again_as_an_ordinary_user"]).uid(USER).gid(USER).current_dir("/");
    again.env(AGAIN, "1").env("HOME", home.path()).env("TMPDIR", home.path());
    let output = again.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// Copies this program and what it starts to where the other user can read them; the build's directory may be closed.
fn copy_of_the_programs(home: &Path) -> PathBuf {
    let target = home.join("target");
    std::fs::create_dir_all(target.join("deps")).unwrap();
    for name in ["egress-guard", "bottle-guest"] {
        std::fs::copy(programs().join(name), target.join(name)).unwrap();
    }
    let mut copy = Command::new("cp");
    copy.args(["-r", "--reflink=auto", "--"]).arg(installers()).arg(target.join("installers"));
    assert!(copy.status().unwrap().success());
    let program = target.join("deps/live");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    program
}
