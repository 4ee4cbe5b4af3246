//! What is put into a bottle before the agent runs: prompt, skills, the user's files, the working directory, git, and what an earlier bottle left.

use std::path::Path;

use claude_bottle_kit::agent_files::{self, Content};
use claude_bottle_kit::restore::Restored;
use claude_bottle_kit::tree::{self, Amount};
use claude_bottle_kit::workspace::{self, Checkout, facts};
use claude_bottle_kit::{Meter, git, home, skills};
use claude_bottle_plugin_api::{Call, Failure, Provisioned, Result, Spec, Workspace};

use crate::door::Door;
use crate::files::{Files, Laid, OWNER};
use crate::launch;
use crate::plan::Planned;

/// The prompt's file, in the home.
const PROMPT: &str = ".claude-bottle-prompt.txt";

/// How much is copied at most. It is there against sparse files, not against large projects.
const MAX_BYTES: u64 = 16 << 30;

/// What an entry costs in an archive: its header, and half of another for the end of its last block.
const HEADER: u64 = 768;

/// The step that is shown.
const STEP: &str = "copy-in";

/// What a look at everything granted found.
#[derive(Debug, Default)]
pub(crate) struct Surveyed {
    /// What the plan says of it.
    pub(crate) facts: Vec<(&'static str, String)>,
    /// About how many bytes will be sent; 0 when there is little.
    pub(crate) bytes: u64,
}

/// Checks on the host, before anything is made, that everything granted can be put in.
pub(crate) fn survey(spec: &Spec) -> Result<Surveyed> {
    let mut facts = skills::survey(&spec.agent.skills)?;
    facts.extend(agent_files::survey(&spec.agent)?);
    home::check(&spec.agent)?;
    let found = survey_workspace(spec)?;
    facts.extend(found.facts);
    Ok(Surveyed { facts, bytes: found.bytes })
}

fn survey_workspace(spec: &Spec) -> Result<Surveyed> {
    let Some(workspace) = &spec.workspace else { return Ok(Surveyed::default()) };
    let checkout = checkout(workspace)?;
    let refuse = |error| {
        Failure::from(workspace::WorkspaceError::from(error)).context("cannot copy the working directory")
    };
    let found = tree::survey(&workspace.source, &checkout.options).map_err(refuse)?;
    let mut bytes = in_archive(found.amount);
    for (source, options) in checkout.repository.iter().flat_map(|repository| &repository.trees) {
        bytes += in_archive(tree::survey(source, options).map_err(refuse)?.amount);
    }
    Ok(Surveyed { facts: facts(&found), bytes })
}

fn checkout(workspace: &Workspace) -> Result<Checkout> {
    let found = workspace::checkout(workspace, Some(OWNER), MAX_BYTES);
    found.map_err(|error| Failure::from(error).context("cannot copy the working directory"))
}

/// Returns about how long an archive of this will be.
fn in_archive(amount: Amount) -> u64 {
    amount.bytes.saturating_add(amount.entries.saturating_mul(HEADER))
}

/// Puts everything in.
pub(crate) fn copy_in(call: &Call, plan: &Planned, door: &Door) -> Result<()> {
    let step = call.step(STEP, "copying files into the bottle");
    let mut files = Files::default();
    files.file(prompt_path(plan), 0o600, plan.spec.agent.prompt.as_bytes());
    add_skills(plan, &mut files);
    add_agent_files(plan, &mut files)?;
    add_workspace(plan, &mut files)?;
    add_git(plan, &mut files)?;
    add_restored(plan, &mut files)?;
    let mut meter = Meter::new(call, STEP, Some(plan.bytes));
    files.send(call, door, |done| meter.tell(done))?;
    step.done();
    Ok(())
}

/// Says what is in: everything is, since `launch`.
pub(crate) fn provisioned(plan: &Planned) -> Provisioned {
    let has_prompt = !plan.spec.agent.prompt.is_empty();
    Provisioned::with_prompt(has_prompt.then(|| prompt_path(plan)))
}

fn prompt_path(plan: &Planned) -> String {
    format!("{}/{PROMPT}", plan.home)
}

fn add_skills(plan: &Planned, files: &mut Files) {
    if plan.spec.agent.skills.is_empty() {
        return;
    }
    let target = Path::new(&plan.skills_dir);
    files.dirs(Path::new(&plan.home), target, 0o700);
    for skill in &plan.spec.agent.skills {
        files.tree(&skill.source, target.join(&skill.name), skills::options(Some(OWNER)));
    }
}

fn add_agent_files(plan: &Planned, files: &mut Files) -> Result<()> {
    let home = Path::new(&plan.home);
    for taken in agent_files::read(&plan.spec.agent, Some(OWNER))? {
        let path = home.join(&taken.path);
        files.dirs(home, path.parent().unwrap_or(home), 0o700);
        match taken.content {
            Content::File(content) => files.file(path, 0o600, content),
            Content::Tree(source, options) => files.tree(&source, path, options),
        }
    }
    Ok(())
}

/// Adds the working directory, empty when there is nothing to copy: it is where the agent starts.
fn add_workspace(plan: &Planned, files: &mut Files) -> Result<()> {
    let place = launch::place(plan);
    let (home, root) = (Path::new(&plan.home), Path::new(&place.root));
    files.dirs(home, root.parent().unwrap_or(home), 0o755);
    match &plan.spec.workspace {
        None => files.dir(root, 0o755),
        Some(workspace) => {
            if let Some(index) = &workspace.index {
                files.index(index, &place.root);
            }
            files.tree(&workspace.source, root, checkout(workspace)?.options);
        }
    }
    Ok(())
}

/// Adds what git inside knows of the user's, and the repository's own data where that is elsewhere; later entries of an archive win.
fn add_git(plan: &Planned, files: &mut Files) -> Result<()> {
    let home = Path::new(&plan.home);
    let settings = git::files(&plan.spec);
    if !settings.is_empty() {
        files.dirs(home, &home.join(git::DIRECTORY), 0o700);
    }
    for (name, content) in settings {
        files.file(home.join(git::DIRECTORY).join(name), 0o600, content);
    }
    let Some(workspace) = &plan.spec.workspace else { return Ok(()) };
    let Some(repository) = checkout(workspace)?.repository else { return Ok(()) };
    let place = launch::place(plan);
    let root = Path::new(&place.root);
    for (source, options) in repository.trees {
        files.tree(&source, root.join(".git"), options);
    }
    for (path, content) in repository.files {
        files.file(root.join(path), 0o644, content);
    }
    Ok(())
}

/// Adds what an earlier bottle left, over the rest.
fn add_restored(plan: &Planned, files: &mut Files) -> Result<()> {
    let (spec, place) = (&plan.spec, launch::place(plan));
    let restored = Restored::read(spec.restore.as_ref(), &spec.agent, &place, &plan.home)
        .map_err(|error| Failure::from(error).context("cannot go on from an earlier bottle"))?;
    files.laid = restored.map(|restored| Laid {
        restored,
        workspace: place.root.as_str().into(),
        home: plan.home.as_str().into(),
    });
    Ok(())
}
