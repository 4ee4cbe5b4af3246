//! Limits: named in the plan, and holding.

use crate::kit::bench::{Bench, Check, Session, call, ensure};
use crate::kit::program::{self, script};
use crate::{Bottle, ExecRole, Spec};

/// What the bottle is limited to: no default is like these, and the usual programs fit in.
const MEMORY_MIB: u64 = 640;
const PROCESSES: u64 = 77;

fn limited(bench: &Bench) -> Check<Spec> {
    let mut spec = bench.spec()?;
    spec.bottle.limits.memory_bytes = Some(MEMORY_MIB << 20);
    spec.bottle.limits.pids = Some(PROCESSES);
    Ok(spec)
}

/// Runs a script, and returns its exit code and what it printed.
fn run(session: &Session<'_>, bottle: &Bottle, text: &str) -> Check<(i32, String)> {
    let ended = program::run(&session.opened, bottle, ExecRole::Command, &script(text, &[]), b"")?;
    Ok((ended.code, ended.stdout_text()))
}

pub(super) fn in_the_plan(bench: &Bench) -> Check {
    let session = bench.session()?;
    let plan = session.opened.prepare(&call(), &limited(bench)?)?;
    let facts: Vec<_> = plan.facts.iter().map(|fact| format!("{} {}", fact.label, fact.value)).collect();
    for wanted in [format!("{MEMORY_MIB} MiB"), PROCESSES.to_string()] {
        ensure!(
            facts.iter().any(|fact| fact.contains(&wanted)),
            "no fact of the plan says {wanted}: {facts:?}"
        );
    }
    Ok(())
}

pub(super) fn memory(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = session.bottle_of(&limited(bench)?)?;
    // `tail` keeps what has no end of a line.
    let keep = |mib: u64| format!("head -c {mib}m /dev/zero | tail -n 1 | wc -c");
    let fits = run(&session, &bottle, &keep(MEMORY_MIB / 4))?.1;
    ensure!(fits.trim() == ((MEMORY_MIB / 4) << 20).to_string(), "a quarter of the limit gives {fits:?}");
    let kept = run(&session, &bottle, &keep(MEMORY_MIB * 2))?.1;
    ensure!(kept.trim() != ((MEMORY_MIB * 2) << 20).to_string(), "a program kept twice the limit in memory");
    Ok(())
}

pub(super) fn processes(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = session.bottle_of(&limited(bench)?)?;
    let start = |count: u64| {
        format!(
            "i=0; while [ $i -lt {count} ]; do sleep 30 </dev/null >/dev/null 2>&1 & i=$((i + 1)); done; printf all"
        )
    };
    let (code, printed) = run(&session, &bottle, &start(8))?;
    ensure!(code == 0 && printed == "all", "eight processes end with {code}");
    let (_, printed) = run(&session, &bottle, &start(PROCESSES * 2))?;
    ensure!(printed != "all", "twice as many processes as the limit ran at the same time");
    Ok(())
}
