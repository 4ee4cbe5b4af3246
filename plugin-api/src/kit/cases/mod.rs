//! The rules, in the order in which they run: what needs no bottle first.

mod answers;
mod cleanup;
mod close;
mod connect;
mod egress;
mod exec;
mod export;
mod grants;
mod hygiene;
mod keep;
mod launch;
mod limits;
mod prepare;
mod reload;
mod resume;
mod running;
mod ssh;
mod terminal;
mod workspace;

use crate::Capability;

use super::bench::{Bench, Check};

/// A rule of the contract, and how it is looked at.
pub(super) struct Case {
    /// Its stable name.
    pub(super) id: &'static str,
    /// The rule, as a sentence about the backend.
    pub(super) title: &'static str,
    /// What has to be there.
    pub(super) needs: Needs,
    /// Looks at it.
    pub(super) run: fn(&Bench) -> Check,
}

/// What a case needs.
pub(super) enum Needs {
    /// Nothing but the plug-in.
    Nothing,
    /// That bottles can be made.
    Bottles,
    /// That bottles can be made, and a capability is declared.
    Capability(Capability),
    /// The same with two capabilities.
    Both([Capability; 2]),
}

const fn always(id: &'static str, title: &'static str, run: fn(&Bench) -> Check) -> Case {
    Case { id, title, needs: Needs::Nothing, run }
}

const fn live(id: &'static str, title: &'static str, run: fn(&Bench) -> Check) -> Case {
    Case { id, title, needs: Needs::Bottles, run }
}

const fn with(
    capability: Capability,
    id: &'static str,
    title: &'static str,
    run: fn(&Bench) -> Check,
) -> Case {
    Case { id, title, needs: Needs::Capability(capability), run }
}

const fn of_export(id: &'static str, title: &'static str, run: fn(&Bench) -> Check) -> Case {
    with(Capability::EXPORT, id, title, run)
}

const fn of_resume(id: &'static str, title: &'static str, run: fn(&Bench) -> Check) -> Case {
    with(Capability::RESUME, id, title, run)
}

const fn of_connect(id: &'static str, title: &'static str, run: fn(&Bench) -> Check) -> Case {
    with(Capability::CONNECT, id, title, run)
}

const fn of_reload(id: &'static str, title: &'static str, run: fn(&Bench) -> Check) -> Case {
    with(Capability::RELOAD, id, title, run)
}

/// That the files outlast the rest is seen of a backend that exports them.
const KEEP_FILES: Case = Case {
    id: "keep-files",
    title: "of a bottle that is kept the files stay, and come out as before",
    needs: Needs::Both([Capability::EXPORT, Capability::KEEP]),
    run: keep::files,
};

/// That another policy counts is seen of a backend that enforces one.
const RELOAD_COUNTS: Case = Case {
    id: "reload-counts",
    title: "another policy counts at once, and a wrong one not at all",
    needs: Needs::Both([Capability::EGRESS, Capability::RELOAD]),
    run: reload::counts,
};

/// That another value counts is seen of a guard that puts it in.
const RELOAD_SECRET: Case = Case {
    id: "reload-secret",
    title: "another value of a secret that its guard holds counts at once",
    needs: Needs::Both([Capability::EGRESS, Capability::RELOAD]),
    run: reload::secret,
};

/// Every case.
pub(super) const CASES: &[Case] = &[
    always("describe", "it describes itself, always the same way", answers::describe),
    always("open", "opening it changes nothing", answers::open),
    always("probe", "it says whether it can be used and, if not, why and how to fix that", answers::probe),
    always("unknown-operation", "an operation it does not know is `unsupported`", answers::operation),
    always("bad-payload", "a document that makes no sense is `invalid`", answers::payload),
    live("prepare-makes-nothing", "prepare makes nothing but files in the stage directory", prepare::nothing),
    live("prepare-repeats", "prepare gives the same plan for the same run", prepare::repeats),
    live("prepare-unknown-field", "a field it does not know is ignored", prepare::unknown_field),
    live("prepare-requires", "a required feature it does not know is `unsupported`", prepare::requires),
    live("prepare-cancelled", "a call cancelled beforehand ends as `cancelled`", prepare::cancelled),
    live("prepare-secret", "no secret is asked for before the launch", prepare::secret),
    live("plan-document", "a plan works after a round trip through JSON", prepare::document),
    live("launch-listed", "a launched bottle is listed with its run and owner", launch::listed),
    live("launch-cancelled", "a cancelled launch undoes itself, at whatever point", launch::cancelled),
    live("launch-twice", "a second launch of a plan leaves the first bottle alone", launch::twice),
    live("launch-two", "two bottles live side by side", launch::two),
    live("secret-hidden", "a secret is in no document, event or log record", launch::secret_hidden),
    live("prompt", "a prompt is in the bottle where provision says", grants::prompt),
    live("no-prompt", "without a prompt there is no path to one", grants::no_prompt),
    live("env-literal", "a variable arrives as it was written", grants::literal),
    live("env-secret", "a secret variable arrives", grants::secret),
    live("env-host", "the host's own variables do not arrive", grants::host_environment),
    with(
        Capability::SKILLS,
        "skills",
        "a skill is in `~/.claude/skills`, executable bits kept",
        grants::skills,
    ),
    with(Capability::WORKSPACE, "workspace", "the workspace is copied to `~/workspace`", workspace::copied),
    with(
        Capability::WORKSPACE,
        "workspace-kept-out",
        "what is ignored, and what usually holds secrets, stays on the host",
        workspace::kept_out,
    ),
    with(
        Capability::WORKSPACE,
        "workspace-modes",
        "executable bits, links and empty directories arrive",
        workspace::modes,
    ),
    with(Capability::SSH, "ssh-usable", "a key is used by way of an agent", ssh::usable),
    with(Capability::SSH, "ssh-hidden", "a private key is not in the bottle, nor in a file", ssh::hidden),
    with(Capability::EGRESS, "egress-allowed", "an allowed host answers through the proxy", egress::allowed),
    with(Capability::EGRESS, "egress-refused", "nothing else is reached, by any way", egress::refused),
    with(Capability::EGRESS, "egress-log", "each decision is in the run's log at once", egress::log),
    RELOAD_COUNTS,
    RELOAD_SECRET,
    of_reload("reload-wrong", "a document that is not a policy is `invalid`", reload::wrong_is_invalid),
    of_reload("reload-closed", "in a closed bottle a policy is `not-found`", reload::closed),
    with(Capability::LIMITS, "limits-plan", "the plan names the limits", limits::in_the_plan),
    with(Capability::LIMITS, "limits-memory", "the limit on memory holds", limits::memory),
    with(Capability::LIMITS, "limits-processes", "the limit on processes holds", limits::processes),
    live("exec-code", "the exit code is the program's", exec::code),
    live("exec-signal", "a program killed by signal n ends with 128 + n", exec::signal),
    live("exec-streams", "standard output and error are kept apart", exec::streams),
    live("exec-stdin", "standard input arrives whole, and its end as well", exec::stdin),
    live("exec-large", "large output arrives whole", exec::large),
    live("exec-arguments", "arguments arrive as they are", exec::arguments),
    live("exec-agent", "an agent other than Claude Code gets its own arguments and no others", exec::agent),
    live("exec-missing", "a program that does not exist is a failure or 127", exec::missing),
    with(
        Capability::TTY,
        "exec-tty",
        "with a terminal the program has one, of the right size",
        terminal::tty,
    ),
    with(Capability::TTY, "exec-resize", "a new size of the terminal reaches the program", terminal::resize),
    live("exec-cancelled", "a cancelled exec ends its program, and not the bottle", running::cancelled),
    live("exec-child-left", "a child that keeps the streams holds nothing back", running::child_left),
    live("exec-two", "two programs run at the same time", running::two),
    live("exec-closed", "in a closed bottle there is `not-found`", running::closed),
    live("elsewhere-exec", "another process can exec into a bottle", close::exec_elsewhere),
    live("elsewhere-close", "another process can close a bottle", close::close_elsewhere),
    live("elsewhere-launch", "another process can launch a plan", close::launch_elsewhere),
    live("close", "close removes the bottle", close::removes),
    live("close-twice", "closing twice is not a failure", close::twice),
    of_export("halt-twice", "halting again, from any process, is not a failure", export::halt_twice),
    of_export("halt-ends-exec", "after a halt nothing runs, and `exec` returns", export::halt_ends_exec),
    of_export("export-tree", "whatever the agent did to its files comes out as it is", export::tree),
    of_export("export-after-halt", "a halted bottle has all its files, each time", export::after_halt),
    of_export("export-elsewhere", "another process can export a bottle", export::elsewhere),
    of_export("export-slow-reader", "a reader that waits makes nothing pile up", export::slow_reader),
    of_export("export-closed-reader", "a reader that leaves ends the export", export::closed_reader),
    of_export("index-is-export", "the index of the copy is what an export finds", export::index),
    KEEP_FILES,
    of_resume("resume-tree", "what an earlier bottle left lies over the copy", resume::tree),
    of_resume("resume-history", "its history is in the home, of this bottle alone", resume::history),
    of_resume("resume-index", "the index says what was copied, as if nothing lay over it", resume::index),
    of_resume("resume-hostile", "an archive that leads out of its place is `invalid`", resume::hostile),
    of_connect("connect-bytes", "bytes pass both ways, and a client's end leaves the answer", connect::bytes),
    of_connect("connect-ends", "a server's end leaves the other direction open", connect::ends),
    of_connect("connect-refused", "where nothing listens there is `unreachable`", connect::refused),
    of_connect("connect-cancelled", "a cancelled connection ends, inside too", connect::cancelled),
    of_connect("connect-closed", "in a closed bottle there is `not-found`", connect::closed),
    live("cleanup-spares-live", "a cleanup never touches a live bottle", cleanup::spares_live),
    live("cleanup-shows-first", "preparing a cleanup changes nothing", cleanup::shows_first),
    live("cleanup-finds-dead", "a cleanup finds and removes what a dead run left", cleanup::finds_dead),
    live("cleanup-twice", "removing what is gone already is not a failure", cleanup::twice),
    live("cleanup-all", "with `all` a live bottle is in the plan", cleanup::all),
    always("quiet", "it writes nothing to standard output and error", hygiene::quiet),
    live("quiet-life", "nor does it while a bottle lives", hygiene::quiet_life),
    live("process", "it leaves the process as it was", hygiene::process),
    live("leaks", "a bottle's life leaks no descriptor and no thread", hygiene::leaks),
];
