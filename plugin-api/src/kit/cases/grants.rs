//! What the bottle is granted: prompt, variables, skills.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::kit::bench::{Bench, Check, SECRET, Session, call, ensure};
use crate::kit::program::printed;
use crate::{Bottle, EnvValue, SkillSpec, Spec};

const PROMPT: &str = "Sei freundlich \u{1f98a}.\nTwo lines, a 'quote' and $HOME.";

/// Launches and provisions a spec, and returns the bottle and the prompt's path.
fn provisioned(session: &Session<'_>, spec: &Spec) -> Check<(Bottle, Option<String>)> {
    let plan = session.opened.prepare(&call(), spec)?;
    let bottle = session.launch(spec, &plan)?;
    let path = session.opened.provision(&call(), spec, &plan, &bottle)?.prompt_path;
    Ok((bottle, path))
}

pub(super) fn prompt(bench: &Bench) -> Check {
    let session = bench.session()?;
    let mut spec = bench.spec()?;
    PROMPT.clone_into(&mut spec.agent.prompt);
    let (bottle, path) = provisioned(&session, &spec)?;
    let Some(path) = path else {
        ensure!(false, "provision names no path");
        return Ok(());
    };
    let found = printed(&session, &bottle, "cat \"$1\"", &[&path])?;
    ensure!(found.trim_end() == PROMPT, "`{path}` holds {found:?}");
    Ok(())
}

pub(super) fn no_prompt(bench: &Bench) -> Check {
    let session = bench.session()?;
    let mut spec = bench.spec()?;
    spec.agent.prompt.clear();
    let (_, path) = provisioned(&session, &spec)?;
    ensure!(path.is_none(), "provision names `{}`", path.unwrap_or_default());
    Ok(())
}

pub(super) fn literal(bench: &Bench) -> Check {
    let session = bench.session()?;
    let spec = bench.spec()?;
    let (bottle, _) = provisioned(&session, &spec)?;
    for variable in &spec.bottle.env {
        let EnvValue::Literal { value } = &variable.value else { continue };
        let found = printed(&session, &bottle, &format!("printf %s \"${}\"", variable.name), &[])?;
        ensure!(found == *value, "`{}` is {found:?} in the bottle and {value:?} in the spec", variable.name);
    }
    Ok(())
}

pub(super) fn secret(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = session.bottle()?;
    let found = printed(&session, &bottle, &format!("printf %s \"${}\"", SECRET.0), &[])?;
    // What arrived instead might be another secret, so it is not shown.
    ensure!(found == SECRET.1, "it arrives with {} bytes, and has {}", found.len(), SECRET.1.len());
    Ok(())
}

pub(super) fn host_environment(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = session.bottle()?;
    let names = printed(&session, &bottle, "env | cut -d= -f1", &[])?;
    let leaked = |name: &str| {
        name.starts_with("CARGO") || name.starts_with("LD_") || name.starts_with("CLAUDE_BOTTLE_")
    };
    let found: Vec<_> = names.lines().filter(|name| leaked(name)).collect();
    ensure!(found.is_empty(), "the bottle has {}", found.join(", "));
    Ok(())
}

pub(super) fn skills(bench: &Bench) -> Check {
    let session = bench.session()?;
    let mut spec = bench.spec()?;
    let source = bench.options.scratch.join(&spec.id).join("skill");
    fs::create_dir_all(source.join("bin"))?;
    fs::write(source.join("SKILL.md"), "read me")?;
    fs::write(source.join("bin/run"), "#!/bin/sh\nprintf ran\n")?;
    fs::set_permissions(source.join("bin/run"), fs::Permissions::from_mode(0o755))?;
    spec.agent.skills.push(SkillSpec::new("kit-skill", source));
    let (bottle, _) = provisioned(&session, &spec)?;
    let place = "$HOME/.claude/skills/kit-skill";
    let found = printed(&session, &bottle, &format!("cat \"{place}/SKILL.md\" && \"{place}/bin/run\""), &[])?;
    ensure!(found == "read meran", "in the bottle it gives {found:?}");
    Ok(())
}
