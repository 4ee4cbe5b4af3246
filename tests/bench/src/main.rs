//! `make bench`: claude-bottle against what does the same job, alternating in one run, as medians and ratios.
//!
//! A figure of one machine and one moment means little; the ratio of two things that took turns means something.

mod bubblewrap;
mod contender;
mod docker;
mod guard;
mod home;
mod kubernetes;
mod live;
mod load;
mod policy;
mod record;
mod results;

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;

use record::Record;

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
    /// Write the figures to a file, and say how the ratios in it have changed
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
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
    /// Starting a bottle in a Pod; takes a cluster
    Kubernetes,
    /// Tunnels that the egress guard opens, beside squid with `ssl-bump` and mitmdump, which `guard` measures too
    Opened,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let wanted = |subject| args.subjects.is_empty() || args.subjects.contains(&subject);
    let mut record = Record::new(args.json.clone(), args.rounds)?;
    if wanted(Subject::Load) {
        record.add("load", &load::run(args.rounds).context("measure loading")?)?;
    }
    if wanted(Subject::Bubblewrap) {
        record.add("bubblewrap", &bubblewrap::run(args.rounds).context("measure bubblewrap")?)?;
    }
    if wanted(Subject::Docker) {
        record.add("docker", &docker::run(args.rounds).context("measure docker")?)?;
    }
    if wanted(Subject::Guard) {
        for (subject, sheet) in guard::run(args.rounds).context("measure the egress guard")? {
            record.add(subject, &sheet)?;
        }
    }
    if wanted(Subject::Policy) {
        record.add("policy", &policy::run(args.rounds).context("measure a change of policy")?)?;
    }
    if wanted(Subject::Results) {
        let show = |measured: &dyn record::Measured| record.add("results", measured);
        results::run(args.rounds, args.files, show).context("measure saved results")?;
    }
    if args.subjects.contains(&Subject::Inspection) {
        record.add("inspection", &guard::inspection(args.rounds).context("measure the look into text")?)?;
    }
    if args.subjects.contains(&Subject::Opened) {
        for sheet in guard::opened(args.rounds).context("measure opened tunnels")? {
            record.add("opened", &sheet)?;
        }
    }
    if args.subjects.contains(&Subject::Caught) {
        for sheet in guard::caught(args.rounds).context("measure caught connections")? {
            record.add("caught", &sheet)?;
        }
    }
    if args.subjects.contains(&Subject::Kubernetes) {
        record.add("kubernetes", &kubernetes::run(args.rounds).context("measure a bottle in a Pod")?)?;
        let requests = kubernetes::requests().context("count the requests of a start")?;
        writeln!(std::io::stdout().lock(), "{requests}")?;
    }
    record.compare()
}
