//! Version managers: what they put on the search path is a shim, and only they know which program it stands for.
//!
//! The manager is asked in the home directory, so that a file of an untrusted repository does not choose the version.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use claude_bottle_plugin_api::{Failure, FailureKind, Result};

use super::name_of;
use claude_bottle_kit::bwrap::find_on_path;
use claude_bottle_kit::companions::is_program;
use claude_bottle_kit::paths::show;

/// Managers whose shims lie in a directory `shims`, or are links to one program.
const MANAGERS: [(&str, &str); 11] = [
    ("asdf", "which"),
    ("goenv", "which"),
    ("jenv", "which"),
    ("mise", "which"),
    ("nodenv", "which"),
    ("phpenv", "which"),
    ("proto", "bin"),
    ("pyenv", "which"),
    ("rbenv", "which"),
    ("rustup", "which"),
    ("volta", "which"),
];

/// Returns the program that a shim stands for; `None` when the file is not a shim.
pub(super) fn real(found: &Path) -> Result<Option<PathBuf>> {
    refuse_snap(found)?;
    let Some((manager, program)) = manager_of(found) else { return Ok(None) };
    let verb = MANAGERS.iter().find(|(name, _)| *name == manager).map_or("which", |(_, verb)| verb);
    let name = name_of(found);
    let real = program.as_deref().and_then(|program| ask(program, verb, &name));
    match real.filter(|real| is_program(real) && manager_of(real).is_none()) {
        Some(real) => Ok(Some(real)),
        None => {
            let message =
                format!("`{}` is a shim, and `{manager} {verb} {name}` names no program", show(found));
            Err(Failure::new(FailureKind::Missing, message)
                .hint(format!("cd && {manager} {verb} {name}"))
                .hint(format!("or grant it as it is: bottles.<name>.tools: [{}]", places(&manager, found))))
        }
    }
}

/// Refuses a snap: its link leads to the client of a daemon, which mounts the program where no bottle sees it.
fn refuse_snap(found: &Path) -> Result<()> {
    let client = found.canonicalize().ok().filter(|real| name_of(real) == "snap");
    if client.is_none() || name_of(found) == "snap" {
        return Ok(());
    }
    let message = format!("`{}` is a snap, which runs by the daemon of snaps alone", show(found));
    Err(Failure::new(FailureKind::Missing, message)
        .hint(format!("snap remove {0}, and install {0} in another way", name_of(found))))
}

/// Names what to grant so that the manager works inside. What rustup installs lies apart from its shims, and next to
/// those there may be a token.
fn places(manager: &str, found: &Path) -> String {
    let dir = found.parent().unwrap_or(found);
    match manager {
        "rustup" => format!("~/.rustup, {}", show(dir)),
        _ => show(dir.parent().unwrap_or(dir)),
    }
}

/// Recognises a shim, and finds its manager's program.
fn manager_of(found: &Path) -> Option<(String, Option<PathBuf>)> {
    let real = found.canonicalize().ok()?;
    let (target, dir) = (name_of(&real), found.parent()?);
    // `rustup` and `volta` are one program under many names.
    if target == "rustup" && name_of(found) != "rustup" {
        return Some((target, Some(real)));
    }
    if target == "volta-shim" {
        return Some(("volta".to_owned(), Some(real.with_file_name("volta"))));
    }
    if !dir.ends_with("shims") {
        return None;
    }
    let root = dir.parent()?;
    let manager = name_of(root).trim_start_matches('.').to_owned();
    let known = MANAGERS.iter().any(|(name, _)| *name == manager);
    let manager = if known { manager } else { target_manager(&target)? };
    let own = [root.join("bin").join(&manager), root.join("libexec").join(&manager)];
    let program = own.into_iter().find(|path| is_program(path)).or_else(|| find_on_path(&manager));
    Some((manager, program))
}

fn target_manager(target: &str) -> Option<String> {
    MANAGERS.iter().find(|(name, _)| *name == target).map(|(name, _)| (*name).to_owned())
}

fn ask(program: &Path, verb: &str, name: &str) -> Option<PathBuf> {
    let home = env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_dir());
    let mut command = Command::new(program);
    command.args([verb, name]).current_dir(home.unwrap_or_else(|| PathBuf::from("/")));
    command.env("RUSTUP_AUTO_INSTALL", "0").stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(text.lines().next()?.trim())).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_grant_for_a_manager_holds_its_tools() {
        let check = |manager: &str, found: &str, expected: &str| {
            assert_eq!(places(manager, Path::new(found)), expected, "{found}");
        };
        check("rustup", "/h/.cargo/bin/cargo", "~/.rustup, /h/.cargo/bin");
        check("asdf", "/h/.asdf/shims/node", "/h/.asdf");
        check("volta", "/h/.volta/bin/node", "/h/.volta");
    }
}
