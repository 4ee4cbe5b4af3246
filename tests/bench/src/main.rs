//! `make bench`: claude-bottle against what does the same job, alternating in one run, as medians and ratios.
//!
//! A figure of one machine and one moment means little; the ratio of two things that took turns means something.

mod bubblewrap;
mod contender;
mod docker;
mod guard;
mod home;
mod live;
mod load;
mod policy;
mod results;

use std::fmt::Display;
use std::io::Write;

use anyhow::Context;
use clap::Parser;

/// Measure claude-bottle against what does the same job
#[derive(Parser)]
struct Args {
    /// What to measure; everything when nothing is named
    #[arg(value_enum)]
    subjects: Vec<Subject>,
    /// How often each contender runs
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// How many files of 10 kB the large tree of `results` has
    #[arg(long, default_value_t = 100_000)]
    files: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Subject {
    /// Loading a plug-in
    Load,
    /// Starting a bottle on Docker
    Docker,
    /// Starting a bottle on bubblewrap
    Bubblewrap,
    /// The egress guard beside squid and tinyproxy
    Guard,
    /// A policy that is changed in a live bottle
    Policy,
    /// Saving, looking at and taking what an agent changed
    Results,
    /// The egress guard's look into clean text, which `guard` measures too
    Inspection,
    /// A new connection of a client that knows no proxy, which `guard` measures too
    Caught,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let wanted = |subject| args.subjects.is_empty() || args.subjects.contains(&subject);
    if wanted(Subject::Load) {
        show(&load::run(args.rounds).context("measure loading")?)?;
    }
    if wanted(Subject::Bubblewrap) {
        show(&bubblewrap::run(args.rounds).context("measure bubblewrap")?)?;
    }
    if wanted(Subject::Docker) {
        show(&docker::run(args.rounds).context("measure docker")?)?;
    }
    if wanted(Subject::Guard) {
        for sheet in guard::run(args.rounds).context("measure the egress guard")? {
            show(&sheet)?;
        }
    }
    if wanted(Subject::Policy) {
        show(&policy::run(args.rounds).context("measure a change of policy")?)?;
    }
    if wanted(Subject::Results) {
        results::run(args.rounds, args.files, show).context("measure saved results")?;
    }
    if args.subjects.contains(&Subject::Inspection) {
        show(&guard::inspection(args.rounds).context("measure the look into text")?)?;
    }
    if args.subjects.contains(&Subject::Caught) {
        for sheet in guard::caught(args.rounds).context("measure caught connections")? {
            show(&sheet)?;
        }
    }
    Ok(())
}

/// Prints what was measured as soon as it is known: all of it takes minutes.
fn show(measured: &dyn Display) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{measured}")?)
}
