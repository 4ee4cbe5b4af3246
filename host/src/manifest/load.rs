//! From directories to a manifest: each file read, parsed and checked, then both merged and judged together.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::check::{self, Checker, Part};
use super::model::BottleName;
use super::node::Value;
use super::problem::{ManifestErrors, Problem, ProblemKind, Problems};
use super::read::{self, Found};
use super::source::Source;
use super::suggest::{listed, nearest};
use super::{Locations, Manifest, ManifestFile, Role, json, mask, yaml};

/// Whether exactly this content of this file is trusted; the path is canonical.
pub(super) type IsTrusted<'a> = &'a dyn Fn(&Path, &[u8]) -> bool;

/// One file after its own checks.
struct Loaded {
    file: ManifestFile,
    source: Source,
    part: Part,
}

/// Content that stands in for a file on disk.
pub(super) struct Candidate<'a> {
    pub(super) path: &'a Path,
    pub(super) content: &'a [u8],
}

/// Which agents a load is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of them: one that has a problem fails the load.
    All,
    /// Those that have no problem; the others are kept apart.
    Usable,
}

pub(super) fn load(
    locations: &Locations,
    candidate: Option<&Candidate<'_>>,
    is_trusted: IsTrusted<'_>,
    wanted: Wanted,
) -> Result<Manifest, ManifestErrors> {
    let mut problems = Problems::default();
    let mut loaded = Vec::new();
    let mut places = vec![(Role::Home, locations.own.as_path())];
    if read::canonical(&locations.own) != read::canonical(&locations.cwd) {
        places.push((Role::Project, locations.cwd.as_path()));
    }
    for (role, directory) in places {
        let prefix = if role == Role::Home { own_prefix(locations) } else { "../".repeat(locations.above) };
        let stand_in = candidate.filter(|candidate| candidate.path.parent() == Some(directory));
        let found = match stand_in {
            Some(candidate) => read::stand_in(candidate.path, &prefix, candidate.content, &mut problems),
            None => read::read(directory, &prefix, &mut problems),
        };
        if let Some(found) = found {
            loaded.extend(one_file(locations, role, found, is_trusted, &mut problems));
        }
    }
    if loaded.is_empty() && problems.is_empty() {
        problems.push(no_file());
    }
    judge_bottles(&loaded, &mut problems);
    let broken = match wanted {
        Wanted::All => Vec::new(),
        Wanted::Usable => problems.take_of_agents(),
    };
    problems.into_result(())?;
    Ok(merge(loaded, &broken))
}

/// Returns what stands before the name of the user's own manifest where it is shown.
fn own_prefix(locations: &Locations) -> String {
    match locations.own.strip_prefix(&locations.home) {
        Ok(below) if below.as_os_str().is_empty() => "~/".to_owned(),
        Ok(below) => format!("~/{}/", below.display()),
        Err(_) => format!("{}/", locations.own.display()),
    }
}

fn no_file() -> Problem {
    Problem::new(ProblemKind::NoFile, "there is no manifest")
        .note(format!("a manifest is called {}", read::FILE_NAMES.join(", ")))
        .note("it was looked for in the home directory, in `~/.config/claude-bottle`, in the working directory and above")
        .hint("run `claude-bottle init` to write one")
}

fn one_file(
    locations: &Locations,
    role: Role,
    found: Found,
    is_trusted: IsTrusted<'_>,
    problems: &mut Problems,
) -> Option<Loaded> {
    let Found { content, mut source } = found;
    let path = read::canonical(&source.name().path);
    let trusted = role == Role::Home || is_trusted(&path, &content);
    source.set_masks(mask::by_lines(&source));
    let before = problems.count();
    let is_json = path_is_json(&source.name().path);
    let root = if is_json { json::parse(&source, problems) } else { yaml::parse(&source, problems) };
    let root = root.filter(|node| is_json || node.value != Value::Null);
    let Some(mut root) = root else {
        if problems.count() == before {
            problems.push(empty(&source));
        }
        problems.illustrate(&source);
        return None;
    };
    source.set_masks(mask::by_nodes(&root));
    yaml::drop_duplicates(&mut root, &source, problems);
    let directory = source.name().path.parent().map(Path::to_owned).unwrap_or_else(|| PathBuf::from("."));
    let mut checker = Checker {
        source: &source,
        problems,
        home: &locations.home,
        profiles: &locations.profiles,
        directory: &directory,
        confined: !trusted,
    };
    let part = check::document(&mut checker, &root);
    if let (false, Some(at)) = (trusted, part.bottles_at) {
        let message = "this manifest defines bottles and is not trusted";
        problems.push(
            Problem::at(ProblemKind::Untrusted, &source, at, message)
                .note("a bottle is where secrets meet hosts, so a project cannot define one by itself")
                .hint(
                    "run `claude-bottle trust` to see what it would grant, and to trust exactly this content",
                ),
        );
    }
    problems.illustrate(&source);
    let file = ManifestFile { path, shown: source.name().shown.clone(), role, trusted, content };
    Some(Loaded { file, source, part })
}

fn path_is_json(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "json")
}

fn empty(source: &Source) -> Problem {
    Problem::in_file(ProblemKind::Empty, source.name(), "the manifest is empty")
        .note("its keys are `bottles` and `agents`")
        .hint("run `claude-bottle init` to add an agent")
}

/// Reports the agents whose bottle no file defines. Untrusted bottles count here: that they do not count is said once.
fn judge_bottles(loaded: &[Loaded], problems: &mut Problems) {
    let defined: BTreeSet<&BottleName> = loaded.iter().flat_map(|one| &one.part.bottle_names).collect();
    let names = || defined.iter().map(|name| name.as_str());
    let available = format!("bottles that are defined: {}", listed(names()));
    for one in loaded {
        for used in &one.part.uses {
            let agent = &used.agent;
            let at = |kind, message| {
                Problem::at(kind, &one.source, used.span, message).note(&available).of_agent(agent)
            };
            problems.push(match &used.bottle {
                Some(bottle) if defined.contains(bottle) => continue,
                Some(bottle) => {
                    let near = if problems.is_full() { None } else { nearest(bottle.as_str(), names()) };
                    let message = format!("agent `{agent}` runs in bottle `{bottle}`, which is not defined");
                    at(ProblemKind::UndefinedBottle, message).did_you_mean(near)
                }
                None => at(ProblemKind::MissingKey, format!("agent `{agent}` has no `bottle`")),
            });
        }
        problems.illustrate(&one.source);
    }
}

/// Joins the files; the later one, which is the project's, wins by name, also with an agent that cannot be used.
fn merge(loaded: Vec<Loaded>, broken: &[Problem]) -> Manifest {
    let mut manifest = Manifest::default();
    for Loaded { file, source, part } in loaded {
        for (name, bottle) in part.bottles {
            if manifest.bottles.insert(name.clone(), bottle).is_some() {
                manifest.replaced.insert(name);
            }
        }
        for (name, agent) in part.agents {
            manifest.broken.remove(&name);
            manifest.agents.insert(name, agent);
        }
        let here = |problem: &&Problem| problem.path() == Some(source.name().path.as_path());
        for problem in broken.iter().filter(here) {
            let Some(name) = problem.agent() else { continue };
            manifest.agents.remove(name);
            manifest.broken.entry(name.clone()).or_default().push(problem.clone());
        }
        manifest.files.push(file);
    }
    manifest
}
