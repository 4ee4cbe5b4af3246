//! What a bottle that runs may reach by now: in a file next to the run's record, which another process writes.
//!
//! Invariant: before a change is sent to the guard the file says that one is under way, and afterwards which policy counts.
//! After a process that was killed in between, the next one sends the old policy again, so that what is said is what counts.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use claude_bottle_egress_policy::{Policy, date_time};
use serde::{Deserialize, Serialize};

use super::{given_back, read_policy};
use crate::document;
use crate::run::records::Record;

const FILE: &str = "policy.json";
const LOCK: &str = "policy.lock";

/// A change of a run's policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// When, in UTC.
    pub time: String,
    /// What was changed, for people.
    pub change: String,
}

/// What the file holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Document {
    policy: Policy,
    #[serde(default)]
    changes: Vec<Change>,
    /// Whether another policy was sent, and what came of it was not noted.
    #[serde(default)]
    is_under_way: bool,
    /// Up to which line of the decision log it is known what the agent gave back.
    #[serde(default)]
    seen_line: u64,
}

impl Document {
    /// Takes out what the agent has given back, which the guard has done already. Another policy may have been on its way
    /// meanwhile, so this one is sent again before it is said that it counts.
    fn take_back(&mut self, run_dir: &Path) -> anyhow::Result<()> {
        let found = given_back::after(run_dir, self.seen_line);
        for given in found.context("cannot read the run's decision log")? {
            self.seen_line = given.line;
            if let Some((left, rules)) = self.policy.without_given(&given.place) {
                let rules: Vec<_> = rules.iter().map(ToString::to_string).collect();
                let change = format!("the agent gave back `{}`", rules.join("`, `"));
                self.changes.push(Change { time: given.time, change });
                self.policy = left;
                self.is_under_way = true;
            }
        }
        Ok(())
    }
}

/// The policy of a run that goes on.
#[derive(Debug, Clone)]
pub struct LivePolicy {
    path: PathBuf,
    document: Document,
}

impl LivePolicy {
    /// Reads it: what it was changed to, or else what the run was started with.
    ///
    /// # Errors
    /// Fails when one of them cannot be read.
    pub fn read(run_dir: &Path, record: &Record) -> anyhow::Result<Self> {
        let path = run_dir.join(FILE);
        let mut document = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let policy = read_policy(record.policy.as_deref().unwrap_or_default())?;
                Document { policy, changes: Vec::new(), is_under_way: false, seen_line: 0 }
            }
            text => text
                .and_then(|text| Ok(serde_json::from_slice(&text)?))
                .with_context(|| format!("cannot read `{}`", path.display()))?,
        };
        // The guard has ended them by itself.
        if let Some(left) = document.policy.without_ended(now()) {
            document.policy = left;
        }
        document.take_back(run_dir)?;
        Ok(Self { path, document })
    }

    /// Keeps other changes of a run's policy away as long as the value lives.
    ///
    /// # Errors
    /// Fails when the lock cannot be had.
    pub fn lock(run_dir: &Path) -> anyhow::Result<File> {
        let path = run_dir.join(LOCK);
        let lock = File::create(&path).and_then(|file| file.lock().map(|()| file));
        lock.with_context(|| format!("cannot lock `{}`", path.display()))
    }

    /// Returns the policy that counts.
    pub fn policy(&self) -> &Policy {
        &self.document.policy
    }

    /// Returns what was changed since the start, in order.
    pub fn changes(&self) -> &[Change] {
        &self.document.changes
    }

    /// Returns `true` if a change was begun whose end nothing tells.
    pub fn is_under_way(&self) -> bool {
        self.document.is_under_way
    }

    /// Notes that another policy is about to be sent.
    ///
    /// # Errors
    /// Fails when that cannot be written; nothing may be sent then.
    pub fn begin(&mut self) -> anyhow::Result<()> {
        self.document.is_under_way = true;
        self.save()
    }

    /// Notes that the old policy counts.
    ///
    /// # Errors
    /// Fails when that cannot be written.
    pub fn keep(&mut self) -> anyhow::Result<()> {
        self.document.is_under_way = false;
        self.save()
    }

    /// Notes that another policy counts.
    ///
    /// # Errors
    /// Fails when that cannot be written.
    pub fn replace(&mut self, policy: Policy, change: String) -> anyhow::Result<()> {
        let time = format!("{}Z", date_time(now()));
        self.document.changes.push(Change { time, change });
        self.document.policy = policy;
        self.keep()
    }

    fn save(&self) -> anyhow::Result<()> {
        let write = || document::replace(&self.path, &serde_json::to_vec_pretty(&self.document)?);
        write().with_context(|| format!("cannot write `{}`", self.path.display()))
    }
}

/// Returns the present time in seconds since 1970-01-01 UTC.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
