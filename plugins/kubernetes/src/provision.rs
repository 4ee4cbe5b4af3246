//! What is put into a bottle before the agent runs: prompt, skills, the user's files, the working directory, git, ssh, and what an earlier bottle left.

use claude_bottle_kit::contents::{Contents, Files};
use claude_bottle_kit::{Meter, home};
use claude_bottle_plugin_api::{Call, Provisioned, Result};

use crate::door::Door;
use crate::launch;
use crate::plan::Planned;
use crate::pod::AGENT_USER;
use crate::send::send;
use crate::ssh;

/// Whose everything is.
const OWNER: (u32, u32) = (AGENT_USER, AGENT_USER);

/// The step that is shown.
const STEP: &str = "copy-in";

/// Puts everything in.
pub(crate) fn copy_in(call: &Call, plan: &Planned, port: u16, door: &Door) -> Result<()> {
    let step = call.step(STEP, "copying files into the bottle");
    let mut files = Files::of(OWNER);
    files.file(prompt_path(plan), 0o600, plan.spec.agent.prompt.as_bytes());
    let contents = Contents {
        spec: &plan.spec,
        home: &plan.home,
        owner: OWNER,
        skills_dir: &plan.skills_dir,
        place: &launch::place(plan),
        has_place: false,
    };
    contents.skills(&mut files);
    contents.agent_files(&mut files)?;
    contents.workspace(&mut files)?;
    contents.git(&mut files)?;
    ssh::add(plan, port, &mut files)?;
    contents.restored(&mut files)?;
    let mut meter = Meter::new(call, STEP, Some(plan.bytes));
    send(&files, call, door, |done| meter.tell(done))?;
    step.done();
    Ok(())
}

/// Says what is in: everything is, since `launch`.
pub(crate) fn provisioned(plan: &Planned) -> Provisioned {
    let has_prompt = !plan.spec.agent.prompt.is_empty();
    Provisioned::with_prompt(has_prompt.then(|| prompt_path(plan)))
}

fn prompt_path(plan: &Planned) -> String {
    format!("{}/{}", plan.home, home::PROMPT)
}
