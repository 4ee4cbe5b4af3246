//! `make bench`: claude-bottle against what does the same job, alternating in one run, as medians and ratios.
//!
//! A figure of one machine and one moment means little; the ratio of two things that took turns means something.

mod bubblewrap;
mod contender;
mod docker;
mod guard;
mod home;
mod load;
mod results;

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
    /// Saving, looking at and taking what an agent changed
    Results,
    /// The egress guard's look into clean text, which `guard` measures too
    Inspection,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let wanted = |subject| args.subjects.is_empty() || args.subjects.contains(&subject);
    let mut tables: Vec<String> = Vec::new();
    if wanted(Subject::Load) {
        tables.push(load::run(args.rounds).context("measure loading")?.to_string());
    }
    if wanted(Subject::Bubblewrap) {
        tables.push(bubblewrap::run(args.rounds).context("measure bubblewrap")?.to_string());
    }
    if wanted(Subject::Docker) {
        tables.push(docker::run(args.rounds).context("measure docker")?.to_string());
    }
    if wanted(Subject::Guard) {
        let sheets = guard::run(args.rounds).context("measure the egress guard")?;
        tables.extend(sheets.iter().map(ToString::to_string));
    }
    if wanted(Subject::Results) {
        tables.push(results::run(args.rounds, args.files).context("measure saved results")?.to_string());
    }
    if args.subjects.contains(&Subject::Inspection) {
        tables.push(guard::inspection(args.rounds).context("measure the look into text")?.to_string());
    }
    let mut stdout = std::io::stdout().lock();
    for table in tables {
        writeln!(stdout, "{table}")?;
    }
    Ok(())
}
