//! Exec: a program's streams and its end, unchanged.

use crate::FailureKind;
use crate::kit::bench::{Bench, Check, Session, call, ensure};
use crate::kit::program::{self, Ended, script};
use crate::{Bottle, ExecRole};

fn run(session: &Session<'_>, bottle: &Bottle, text: &str, input: &[u8]) -> Check<Ended> {
    Ok(program::run(&session.opened, bottle, ExecRole::Command, &script(text, &[]), input)?)
}

pub(super) fn code(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = session.bottle()?;
    for code in [0, 1, 7, 255] {
        let ended = run(&session, &bottle, &format!("exit {code}"), b"")?;
        ensure!(ended.code == code, "`exit {code}` ends with {}", ended.code);
    }
    Ok(())
}

pub(super) fn signal(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = session.bottle()?;
    for (name, number) in [("KILL", 9), ("TERM", 15)] {
        let ended = run(&session, &bottle, &format!("kill -{name} $$"), b"")?;
        ensure!(ended.code == 128 + number, "killed by {name} it ends with {}", ended.code);
    }
    Ok(())
}

pub(super) fn streams(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = session.bottle()?;
    let ended = run(&session, &bottle, "printf out; printf err >&2", b"")?;
    let (out, err) = (ended.stdout_text(), ended.stderr_text());
    ensure!(out == "out" && err == "err", "standard output is {out:?}, and error {err:?}");
    Ok(())
}

pub(super) fn stdin(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = session.bottle()?;
    // All byte values, and more than any pipe holds.
    let input: Vec<u8> = (0..=255_u8).cycle().take(1 << 20).collect();
    let ended = run(&session, &bottle, "cat", &input)?;
    ensure!(
        ended.stdout == input,
        "{} of {} bytes came back the same",
        same(&ended.stdout, &input),
        input.len()
    );
    let ended = run(&session, &bottle, "cat; printf end", b"")?;
    ensure!(ended.stdout == b"end", "with empty input `cat` prints {:?}", ended.stdout_text());
    Ok(())
}

fn same(found: &[u8], wanted: &[u8]) -> usize {
    found.iter().zip(wanted).take_while(|(a, b)| a == b).count()
}

pub(super) fn large(bench: &Bench) -> Check {
    const SIZE: usize = 8 << 20;
    let session = bench.session()?;
    let bottle = session.bottle()?;
    let ended = run(&session, &bottle, &format!("head -c {SIZE} /dev/zero; printf done >&2"), b"")?;
    ensure!(ended.stdout.len() == SIZE, "{} of {SIZE} bytes arrived", ended.stdout.len());
    ensure!(ended.stderr == b"done", "standard error is {:?}", ended.stderr_text());
    Ok(())
}

pub(super) fn arguments(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = session.bottle()?;
    let wanted = ["", "two words", "$HOME `id` \"q\" 'q' \\", "zwölf \u{1f98a}", "-n", "line\nbreak", "*"];
    let command = script("printf '%s|' \"$@\"", &wanted);
    let ended = program::run(&session.opened, &bottle, ExecRole::Command, &command, b"")?;
    let expected: String = wanted.iter().map(|argument| format!("{argument}|")).collect();
    let found = ended.stdout_text();
    ensure!(found == expected, "they arrive as {found:?}");
    Ok(())
}

pub(super) fn missing(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = session.bottle()?;
    let command = ["kit-no-such-program".to_owned()];
    match program::run(&session.opened, &bottle, ExecRole::Command, &command, b"") {
        Ok(ended) => ensure!(matches!(ended.code, 126 | 127), "it ends with {}", ended.code),
        Err(failure) => ensure!(
            matches!(failure.kind, FailureKind::Missing | FailureKind::NotFound),
            "it fails with `{:?}`: {failure}",
            failure.kind
        ),
    }
    // The bottle is as usable as before.
    let ended = run(&session, &bottle, "exit 3", b"")?;
    ensure!(ended.code == 3, "afterwards `exit 3` ends with {}", ended.code);
    Ok(())
}

pub(super) fn agent(bench: &Bench) -> Check {
    let session = bench.session()?;
    let mut spec = bench.spec()?;
    "Be kind.".clone_into(&mut spec.agent.prompt);
    let plan = session.opened.prepare(&call(), &spec)?;
    let bottle = session.launch(&spec, &plan)?;
    let prompt = session.opened.provision(&call(), &spec, &plan, &bottle)?.prompt_path;
    let command = script("printf '%s,' \"$#\" \"$@\"", &["one", "two"]);
    let ended = program::run_as_agent(&session.opened, &bottle, prompt, &command)?;
    let out = ended.stdout_text();
    ensure!(ended.code == 0 && out == "2,one,two,", "it ends with {} and was given {out:?}", ended.code);
    Ok(())
}
