//! The input of the container's own process as it starts: secret variables, the way to the guard, and the files with which the agent
//! starts straight into its prompt.
//!
//! It reads them from its standard input, which costs no program of its own, and then stays for as long as the bottle.
//! Invariant: a secret goes from the host over standard input into the memory of that process, and from there into the
//! environment of programs. It is in no file, on no argument list, in no setting of the container, in no image and on no disk.

use std::path::Path;

use bottle_guest::protocol::{self, Setup, SetupFile};
use claude_bottle_kit::{LOCALE, home};
use claude_bottle_plugin_api::{Call, EnvValue, ErrorExt, FailureKind, Result, Spec};
use zeroize::Zeroizing;

use super::{prompt, ssh};
use crate::error::DockerError;
use crate::link::{DOOR, Link};
use crate::plan::{Planned, place};

/// Returns what that process is to read.
pub(crate) fn input(plan: &Planned, call: &Call) -> Result<Zeroizing<Vec<u8>>> {
    let spec = &plan.spec;
    let files = home::files(spec, call, &place(plan))?;
    let path = |name: &str| Path::new(&plan.user.home).join(name).to_string_lossy().into_owned();
    // The engine limits the container as a whole, so that programs have no limits of their own.
    let mut setup = Setup::new(secrets(spec, call)?);
    setup.relay = plan.link.relay(plan.port, &spec.bottle.forward);
    let usual = |(name, content): (String, Zeroizing<String>)| SetupFile {
        path: path(&name),
        content: content.to_string(),
        replaces: false,
    };
    setup.files =
        files.into_iter().map(usual).chain([prompt::file(&plan.user.home, &spec.agent.prompt)]).collect();
    if plan.link == Link::HostSocket {
        setup.door = Some(DOOR.into());
        setup.basis = vec![(LOCALE.0.to_owned(), LOCALE.1.to_owned())];
    }
    protocol::frame(&setup).failure(FailureKind::Invalid, || "cannot tell the bottle its variables")
}

/// Returns the variables that are in no setting of the container.
fn secrets(spec: &Spec, call: &Call) -> Result<Vec<(String, Vec<u8>)>> {
    let socket = ssh::variable(spec).map(|(name, path)| (name.to_owned(), path.as_bytes().to_vec()));
    let mut variables: Vec<_> = socket.into_iter().collect();
    for variable in &spec.bottle.env {
        if matches!(variable.value, EnvValue::Literal { .. }) {
            continue;
        }
        let secret = call.secret(&variable.name)?;
        if !can_be_carried(&variable.name, secret.expose()) {
            return Err(DockerError::CarryVariable { name: variable.name.clone() }.into());
        }
        variables.push((variable.name.clone(), secret.expose().to_vec()));
    }
    Ok(variables)
}

/// Returns `true` if a program can be given the variable.
fn can_be_carried(name: &str, value: &[u8]) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !value.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_program_can_be_given_is_refused() {
        assert!(can_be_carried("A", b"\xff \n'\"$(x)"));
        for (name, value) in [("", &b"x"[..]), ("A=B", b"x"), ("A\0", b"x"), ("A", b"x\0y")] {
            assert!(!can_be_carried(name, value), "{name}");
        }
    }
}
