//! Which values an argument takes, and what there is of them on this machine.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use clap::Arg;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};

use super::super::App;
use super::super::table::age;
use super::super::trust::find_manifest;
use super::super::work::summary;
use crate::egress::{allowed_hosts, effective_policy, presets};
use crate::manifest::Manifest;
use crate::results::select::select;
use crate::run::names;
use crate::run::records::{Phase, Record};

/// What stands for the names of files, which the shell knows best.
const FILES: &str = "<files>";
/// The same for the words of another program, which follow `--`.
const PROGRAM: &str = "<program>";

/// What an argument takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Agents,
    /// Bottles that are running or kept.
    Bottles,
    AgentsAndBottles,
    /// Runs, those that have ended included.
    Runs,
    Results,
    /// Paths of a result.
    Changed,
    /// Bottles of the manifest.
    Defined,
    Skills,
    Hosts,
    Backends,
    Presets,
    /// Profiles of programs.
    Profiles,
    /// Variables that programs log in with.
    Tokens,
    Files,
    Program,
}

/// Returns what an argument of a command takes; nothing for text that is the user's own.
fn kind(command: &str, argument: &Arg) -> Option<Kind> {
    if !argument.get_action().takes_values() {
        return None;
    }
    if argument.is_last_set() {
        return Some(Kind::Program);
    }
    Some(match (command, argument.get_id().as_str()) {
        ("check", "agent") => Kind::AgentsAndBottles,
        ("check", "target") => Kind::Hosts,
        ("check", "plugin") | ("pin" | "unpin", "name") | (_, "backend") => Kind::Backends,
        ("logs" | "suggest", "bottle") => Kind::Runs,
        ("init", "bottle") => Kind::Defined,
        ("init", "agent") => return None,
        (_, "presets") => Kind::Presets,
        (_, "profile") => Kind::Profiles,
        (_, "token") => Kind::Tokens,
        (_, "skill" | "skills") => Kind::Skills,
        ("diff" | "apply", "paths") => Kind::Changed,
        (_, "agent") => Kind::Agents,
        (_, "bottle") => Kind::Bottles,
        (_, "run" | "runs") => Kind::Results,
        (_, "cwd" | "into" | "to" | "directory" | "path" | "api") => Kind::Files,
        _ => return None,
    })
}

/// Adds to each argument of a command, and of those below, what it takes.
pub(super) fn attached(command: clap::Command, asked: &Arc<Asked>) -> clap::Command {
    let name = command.get_name().to_owned();
    let attach = |argument: Arg| match kind(&name, &argument) {
        None => argument,
        Some(kind) => {
            let asked = Arc::clone(asked);
            argument.add(ArgValueCompleter::new(move |typed: &OsStr| asked.candidates(kind, typed)))
        }
    };
    command.mut_args(attach).mut_subcommands(|below| attached(below, asked))
}

/// Returns `true` if a candidate stands for the names of files.
pub(super) fn wants_files(candidate: &CompletionCandidate, asked: &Asked) -> bool {
    let value = candidate.get_value().to_string_lossy();
    let is_of_program = asked.before().iter().any(|word| word == "--");
    value.ends_with(FILES) || (is_of_program && value == PROGRAM)
}

/// What was typed until now, and where the answers are.
pub(super) struct Asked {
    app: App,
    words: Vec<String>,
}

impl Asked {
    /// Takes what was typed; the last word is the one that is being typed.
    pub(super) fn new(app: &App, words: &[OsString]) -> Self {
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let mut app = app.at(&app.invocation.cwd);
        app.no_project |= words.iter().any(|word| word == "--no-project");
        Self { app, words }
    }

    /// Returns the word that is being typed.
    pub(super) fn current(&self) -> &str {
        self.words.last().map(String::as_str).unwrap_or_default()
    }

    fn before(&self) -> &[String] {
        self.words.split_last().map(|(_, before)| before).unwrap_or_default()
    }

    /// Returns what there is and begins as it was typed.
    fn candidates(&self, kind: Kind, typed: &OsStr) -> Vec<CompletionCandidate> {
        let found = match kind {
            // These need no beginning in common: the shell looks itself.
            Kind::Files => return vec![CompletionCandidate::new(FILES)],
            Kind::Program => return vec![CompletionCandidate::new(PROGRAM)],
            Kind::Agents => self.agents(),
            Kind::Bottles => self.bottles(),
            Kind::AgentsAndBottles => [self.agents(), self.bottles()].concat(),
            Kind::Runs => self.runs(),
            Kind::Results => self.results(),
            Kind::Changed => self.changed(),
            Kind::Defined => self.defined(),
            Kind::Skills => self.skills(),
            Kind::Hosts => self.hosts(),
            Kind::Backends => self.backends(),
            Kind::Profiles => {
                self.app.invocation.profiles().names().into_iter().map(|name| (name, String::new())).collect()
            }
            Kind::Tokens => self.tokens(),
            Kind::Presets => presets::names().map(|name| (name.to_owned(), String::new())).collect(),
        };
        let typed = typed.to_string_lossy();
        let is_list = matches!(kind, Kind::Results | Kind::Skills | Kind::Presets | Kind::Changed);
        // After the program and its command.
        let (named, mut seen) = (self.before().get(2..).unwrap_or_default(), BTreeSet::new());
        let fits = |(value, _): &(String, String)| {
            value.starts_with(&*typed) && !(is_list && named.contains(value)) && seen.insert(value.clone())
        };
        let candidate =
            |(value, help): (String, String)| CompletionCandidate::new(value).help(Some(help.into()));
        found.into_iter().filter(fits).map(candidate).collect()
    }

    fn manifest(&self) -> Option<Manifest> {
        find_manifest(&self.app).ok().map(|(manifest, _)| manifest)
    }

    fn agents(&self) -> Vec<(String, String)> {
        let Some(manifest) = self.manifest() else { return Vec::new() };
        let agent = |agent: &crate::manifest::Agent| {
            let program = agent.command.first().map(String::as_str).unwrap_or_default();
            (agent.name.to_string(), format!("{program} in bottle {}", agent.bottle))
        };
        manifest.agents().map(agent).collect()
    }

    fn defined(&self) -> Vec<(String, String)> {
        let Some(manifest) = self.manifest() else { return Vec::new() };
        manifest.bottles().map(|bottle| (bottle.name.to_string(), bottle.origin.to_string())).collect()
    }

    /// Returns the bottles that are there, the newest first, and the agents that have one alone.
    fn bottles(&self) -> Vec<(String, String)> {
        let mut runs = self.app.runs().all().unwrap_or_default();
        runs.retain(names::has_bottle);
        let is_alone = |run: &&Record| runs.iter().filter(|other| other.agent == run.agent).count() == 1;
        let agents = runs.iter().filter(is_alone).map(|run| (run.agent.clone(), told(run)));
        let names = runs.iter().rev().map(|run| (run.name.clone(), told(run)));
        names.chain(agents).collect()
    }

    /// Returns the runs there were, the newest first: by their ids, and by the names that stand for the newest.
    fn runs(&self) -> Vec<(String, String)> {
        let runs = self.app.runs().all().unwrap_or_default();
        let by = |name: fn(&Record) -> &String| {
            runs.iter().rev().map(move |run| (name(run).clone(), told(run))).collect::<Vec<_>>()
        };
        [by(|run| &run.agent), by(|run| &run.id), by(|run| &run.name)].concat()
    }

    /// Returns the saved results, the newest first: by their runs, and by the names that stand for the newest.
    fn results(&self) -> Vec<(String, String)> {
        let all = self.app.results().all().unwrap_or_default();
        let told = |saved: &crate::results::store::Saved| {
            format!("{}, {} ago", summary(&saved.result), age(saved.result.saved_unix))
        };
        let newest = || all.iter().rev();
        let runs = newest().map(|saved| (saved.result.run.clone(), told(saved)));
        let agents = newest().map(|saved| (saved.result.agent.clone(), told(saved)));
        let names = newest().map(|saved| (saved.result.name.clone(), told(saved)));
        agents.chain(runs).chain(names).collect()
    }

    /// Returns the paths of the result that is named, else of this directory's newest.
    fn changed(&self) -> Vec<(String, String)> {
        let store = self.app.results();
        let here = &self.app.invocation.cwd;
        let named = self.before().iter().skip(2).find_map(|word| select(&store, Some(word), here).ok());
        let Some(saved) = named.or_else(|| select(&store, None, here).ok()) else { return Vec::new() };
        let path = |file: &crate::results::model::Change| file.path.as_path().display().to_string();
        saved
            .result
            .files
            .iter()
            .map(|file| (path(file), format!("{:?}", file.change).to_lowercase()))
            .collect()
    }

    /// Returns the variables that the programs of all profiles log in with.
    fn tokens(&self) -> Vec<(String, String)> {
        let profiles = self.app.invocation.profiles();
        let all = profiles.names().into_iter().filter_map(|name| profiles.find(&name).ok());
        let of = |profile: Arc<crate::profile::Profile>| {
            let own =
                profile.token().map(|_| crate::environment::TOKEN).into_iter().chain(profile.credentials());
            own.map(|name| (name.to_owned(), profile.name.clone())).collect::<Vec<_>>()
        };
        all.flat_map(of).collect()
    }

    fn skills(&self) -> Vec<(String, String)> {
        let Ok(entries) = std::fs::read_dir(self.app.invocation.home.join(".claude/skills")) else {
            return Vec::new();
        };
        let directories = entries.flatten().filter(|entry| entry.path().is_dir());
        let names = directories.filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<_> = names.map(|name| (name, String::new())).collect();
        names.sort();
        names
    }

    /// Returns the hosts that the agent which is named may reach.
    fn hosts(&self) -> Vec<(String, String)> {
        let Some(manifest) = self.manifest() else { return Vec::new() };
        let runs = self.app.runs().all().unwrap_or_default();
        let agent_of = |word: &String| {
            let run = runs.iter().rev().find(|run| run.name == *word || run.id == *word);
            manifest.agent(run.map_or(word, |run| &run.agent)).ok()
        };
        let Some(found) = self.before().iter().find_map(agent_of) else { return Vec::new() };
        let hosts = effective_policy(Some(found.agent), found.bottle)
            .map(|policy| allowed_hosts(&policy))
            .unwrap_or_default();
        hosts.into_iter().map(|host| (host, String::new())).collect()
    }

    /// Returns the backends that a file stands for; none of them is opened.
    fn backends(&self) -> Vec<(String, String)> {
        let names = self.app.search_path().scan().into_keys();
        names.map(|name| (name, String::new())).collect()
    }
}

/// Says what a run is.
fn told(run: &Record) -> String {
    let phase = match run.phase {
        Phase::Creating | Phase::Running => "began",
        Phase::Unsaved => "not saved, began",
        Phase::Kept => "kept, began",
        Phase::Ended => "ended, began",
    };
    format!("{}, {phase} {} ago", run.agent, age(run.created_unix))
}
