//! The copy of the working directory: where it is, what is in it, and what stays out.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::kit::bench::{Bench, Check, ensure};
use crate::kit::program::printed;
use crate::{Spec, Workspace};

/// Files that usually hold secrets, and a text as it would be in each.
const SECRETS: [(&str, &str); 2] = [
    (".env", "TOKEN=kit-token\n"),
    (
        "id_ed25519",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n-----END OPENSSH PRIVATE KEY-----\n",
    ),
];

/// Makes a working directory for a spec.
fn directory(bench: &Bench, spec: &mut Spec) -> Check<PathBuf> {
    let source = bench.options.scratch.join(&spec.id).join("workspace");
    fs::create_dir_all(&source)?;
    spec.workspace = Some(Workspace::new(&source));
    Ok(source)
}

fn write(path: &Path, text: &str) -> Check {
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    Ok(fs::write(path, text)?)
}

pub(super) fn copied(bench: &Bench) -> Check {
    let session = bench.session()?;
    let mut spec = bench.spec()?;
    let source = directory(bench, &mut spec)?;
    write(&source.join("file"), "content")?;
    write(&source.join("left-out/file"), "content")?;
    if let Some(workspace) = &mut spec.workspace {
        workspace.exclude.push("left-out".into());
    }
    let bottle = session.bottle_of(&spec)?;
    let text = "cd \"$HOME/workspace\" && cat file && test ! -e left-out && printf changed > file";
    let found = printed(&session, &bottle, text, &[])?;
    ensure!(found == "content", "in the bottle it gives {found:?}");
    let after = fs::read_to_string(source.join("file"))?;
    ensure!(after == "content", "a change in the bottle reached the host");
    Ok(())
}

pub(super) fn kept_out(bench: &Bench) -> Check {
    let session = bench.session()?;
    let mut spec = bench.spec()?;
    let source = directory(bench, &mut spec)?;
    for (name, text) in SECRETS {
        write(&source.join(name), text)?;
    }
    write(&source.join(Workspace::IGNORE_FILE), "*.log\n!kept.log\n/build/\n")?;
    for name in ["one.log", "kept.log", "build/out", "below/build/in", "below/two.log"] {
        write(&source.join(name), name)?;
    }
    let bottle = session.bottle_of(&spec)?;
    let text = "cd \"$HOME/workspace\" && find . -type f | sort";
    let found = printed(&session, &bottle, text, &[])?;
    let found: Vec<_> = found.lines().filter(|line| *line != "./.claude-bottleignore").collect();
    ensure!(found == ["./below/build/in", "./kept.log"], "in the bottle there are {found:?}");
    Ok(())
}

pub(super) fn modes(bench: &Bench) -> Check {
    let session = bench.session()?;
    let mut spec = bench.spec()?;
    let source = directory(bench, &mut spec)?;
    write(&source.join("run"), "#!/bin/sh\nprintf ran,\n")?;
    fs::set_permissions(source.join("run"), fs::Permissions::from_mode(0o755))?;
    write(&source.join("plain"), "")?;
    symlink("run", source.join("link"))?;
    fs::create_dir(source.join("empty"))?;
    let bottle = session.bottle_of(&spec)?;
    let text = "cd \"$HOME/workspace\" && ./run && test ! -x plain && test -d empty && readlink link";
    let found = printed(&session, &bottle, text, &[])?;
    ensure!(found == "ran,run\n", "in the bottle it gives {found:?}");
    Ok(())
}
