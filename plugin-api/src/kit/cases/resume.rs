//! Going on from an earlier bottle: what it left lies over what the new one has, and leads nowhere.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::export::{spec, workspace_of};
use crate::kit::archive::Entry;
use crate::kit::bench::{Bench, Check, Session, Stop, call, ensure};
use crate::kit::program::{self, script};
use crate::{Bottle, EntryPath, ExecRole, FailureKind, Restore, Result, Spec};

const BLOCK: usize = 512;

/// Writes an archive: directories end in a slash, links have their target after ` -> `, the first file's neighbours are plain.
fn archive(path: &Path, entries: &[(&str, &str)]) -> Check<PathBuf> {
    let mut bytes = Vec::new();
    for (name, content) in entries {
        let (name, target) = name.split_once(" -> ").map_or((*name, None), |(name, to)| (name, Some(to)));
        let kind = match target {
            Some(_) => b'2',
            None if name.ends_with('/') => b'5',
            None => b'0',
        };
        bytes.extend(header(name, kind, content.len(), target.unwrap_or_default()));
        bytes.extend(content.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    }
    bytes.resize(bytes.len() + 2 * BLOCK, 0);
    fs::write(path, bytes)?;
    Ok(path.to_owned())
}

/// Makes a header of the oldest form, which every reader knows.
fn header(name: &str, kind: u8, size: usize, target: &str) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[kind]);
    put(157, target.as_bytes());
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// Has a spec name what an earlier bottle left.
fn restoring(spec: &mut Spec, restore: Restore) {
    spec.requires.extend(restore.features().into_iter().map(str::to_owned));
    spec.restore = Some(restore);
}

/// Makes a spec that goes on from an earlier bottle, and the place of its index.
fn resuming(bench: &Bench) -> Check<(Spec, PathBuf)> {
    let (mut spec, index) = spec(bench)?;
    let at = |name: &str| bench.options.scratch.join(&spec.id).join(name);
    let mut restore = Restore::default();
    let new =
        [("kept", "changed"), ("new/", ""), ("new/deep", "new"), ("link -> nowhere", ""), ("run/in", "x")];
    restore.workspace = Some(archive(&at("workspace.tar"), &new)?);
    restore.sealed = Some(archive(&at("sealed.tar"), &[(".git/kit", "sealed")])?);
    let history = [(".kit/session", "remembered"), (".kit/-kit-before/x", "of a directory")];
    restore.history = Some(archive(&at("history.tar"), &history)?);
    restore.removed = Some(at("removed"));
    let mut removed = fs::File::create(at("removed"))?;
    for path in ["gone", "empty"] {
        let line = serde_json::to_string(&EntryPath::new(path)).map_err(std::io::Error::from)?;
        writeln!(removed, "{line}")?;
    }
    restore.start = Some("/kit/before".to_owned());
    restoring(&mut spec, restore);
    Ok((spec, index))
}

fn run(session: &Session<'_>, bottle: &Bottle, text: &str) -> Check<String> {
    let ended = program::run(&session.opened, bottle, ExecRole::Command, &script(text, &[]), b"")?;
    ensure!(ended.code == 0, "`{text}` ended with {}: {}", ended.code, ended.stderr_text());
    Ok(ended.stdout_text())
}

pub(super) fn tree(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = session.bottle_of(&resuming(bench)?.0)?;
    // The agent owns all of it.
    run(
        &session,
        &bottle,
        "cd \"$HOME/workspace\" && printf er >>new/deep && printf x >new/more && rm run/in",
    )?;
    session.opened.halt(&call(), &bottle)?;
    let archive = workspace_of(&session, &bottle)?;
    for (path, expected) in
        [("kept", "changed"), ("new/deep", "newer"), ("new/more", "x"), (".git/kit", "sealed")]
    {
        let found = archive.content(path).map(String::from_utf8_lossy);
        ensure!(found.as_deref() == Some(expected), "`{path}` holds {found:?}");
    }
    for path in ["gone", "empty"] {
        ensure!(!archive.entries.contains_key(Path::new(path)), "`{path}` was removed, and is there");
    }
    let link = archive.entries.get(Path::new("link"));
    ensure!(link == Some(&Entry::Link { target: "nowhere".into() }), "`link` is {link:?}");
    let run = archive.entries.get(Path::new("run"));
    ensure!(matches!(run, Some(Entry::Directory { .. })), "a file that became a directory is {run:?}");
    Ok(())
}

pub(super) fn history(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = session.bottle_of(&resuming(bench)?.0)?;
    let said = run(&session, &bottle, "printf x >>\"$HOME/.kit/session\" && cat \"$HOME/.kit/session\"")?;
    ensure!(said == "rememberedx", "the history holds {said:?}");
    let named = "cat \"$HOME/.kit/$(pwd | tr -c 'a-zA-Z0-9\\n' -)/x\"";
    let said = run(&session, &bottle, named)?;
    ensure!(said == "of a directory", "what is named after where programs started holds {said:?}");
    let other = session.bottle_of(&spec(bench)?.0)?;
    run(&session, &other, "test ! -e \"$HOME/.kit\"")?;
    Ok(())
}

/// Returns the lines of an index.
fn lines(index: &Path) -> Check<BTreeSet<String>> {
    Ok(fs::read_to_string(index)?.lines().map(str::to_owned).collect())
}

pub(super) fn index(bench: &Bench) -> Check {
    let session = bench.session()?;
    let (plain, index) = spec(bench)?;
    session.bottle_of(&plain)?;
    let (resuming, other) = resuming(bench)?;
    session.bottle_of(&resuming)?;
    let (expected, found) = (lines(&index)?, lines(&other)?);
    let wrong: Vec<_> = expected.symmetric_difference(&found).collect();
    ensure!(wrong.is_empty(), "over a copy of the same directory the index says otherwise: {wrong:?}");
    Ok(())
}

fn begin(session: &Session<'_>, spec: &Spec) -> Result<()> {
    let plan = session.opened.prepare(&call(), spec)?;
    let bottle = session.launch(spec, &plan)?;
    session.opened.provision(&call(), spec, &plan, &bottle).map(drop)
}

pub(super) fn hostile(bench: &Bench) -> Check {
    let session = bench.session()?;
    for entries in [
        &[("../out", "x")][..],
        &[("/kit-out", "x")],
        &[("led -> /", ""), ("led/kit-out", "x")],
        &[("file", ""), ("file/below", "x")],
    ] {
        for part in [Restore::WORKSPACE, Restore::SEALED, Restore::HISTORY] {
            let (mut spec, _) = spec(bench)?;
            let hostile = archive(&bench.options.scratch.join(&spec.id).join("hostile.tar"), entries)?;
            let mut restore = Restore::default();
            let place = match part {
                Restore::WORKSPACE => &mut restore.workspace,
                Restore::SEALED => &mut restore.sealed,
                _ => &mut restore.history,
            };
            *place = Some(hostile);
            restoring(&mut spec, restore);
            let Err(failure) = begin(&session, &spec) else {
                return Err(Stop::Fail(format!("it lays {entries:?}")));
            };
            let kind = failure.kind;
            ensure!(kind == FailureKind::Invalid, "of {entries:?} it says, as {kind:?}: {failure}");
        }
    }
    Ok(())
}
