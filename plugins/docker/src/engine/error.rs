//! What a failure of Docker's engine means, beyond what its status says, and what may help against it.

use claude_bottle_engine::EngineError;

/// What an engine, and a program in a container, passes on of the system's ENOSPC.
const DISK_FULL: &str = "no space left on device";
/// What an engine says of a name that two networks have.
const AMBIGUOUS: &str = "is ambiguous";

/// Returns what may help against it.
pub(crate) fn hint(error: &EngineError) -> Option<String> {
    match error {
        EngineError::Unreachable { .. } => Some(
            "start the engine (`systemctl start docker`, or Docker Desktop), or name another one in DOCKER_HOST"
                .to_owned(),
        ),
        EngineError::Gone { .. } => Some(
            "claude-bottle cleanup   # once the engine runs again (`systemctl start docker`, or Docker Desktop)"
                .to_owned(),
        ),
        EngineError::Ssh(failure) => Some(failure.hint.clone()),
        EngineError::MissingProgram { .. } => {
            Some("install claude-bottle again: that program comes with it".to_owned())
        }
        EngineError::Lost { .. } => Some(
            "claude-bottle cleanup   # once that machine is reached again; it saves the work of bottles that are left there"
                .to_owned(),
        ),
        EngineError::Certificate { .. } => Some(
            "export DOCKER_CERT_PATH=DIR   # with the engine's authority as ca.pem, and the user's cert.pem and key.pem"
                .to_owned(),
        ),
        EngineError::Untrusted(engine) => Some(format!(
            "put the authority that made the engine's certificate into `{}`",
            engine.files.join("ca.pem").display()
        )),
        EngineError::ClientRefused { .. } => Some(
            "put cert.pem and key.pem of a user that the engine knows into the directory that DOCKER_CERT_PATH names"
                .to_owned(),
        ),
        EngineError::Refused { message, .. } | EngineError::Failed { message } => {
            disk_full_hint(message).or_else(|| runtime_hint(message))
        }
        EngineError::Denied { .. } => {
            Some("sudo usermod -aG docker \"$USER\"   # and log in again".to_owned())
        }
        _ => None,
    }
}

/// Returns what helps when words of the engine, or of a program in a container, tell of a full disk.
pub(crate) fn disk_full_hint(said: &str) -> Option<String> {
    let full = said.to_ascii_lowercase().contains(DISK_FULL);
    full.then(|| {
        "docker system df   # the engine's disk is full; `docker system prune` frees what nothing uses"
            .to_owned()
    })
}

/// Returns what helps when words of the engine tell of a runtime that does not work: containerd's and the runtimes' own
/// words, and the engine's before it starts one.
fn runtime_hint(said: &str) -> Option<String> {
    let hint = "docker info --format '{{json .Runtimes}}'   # repair the runtime, or take it out of the engine's settings";
    said.contains("OCI runtime").then(|| hint.to_owned())
}

/// Classifies an error of bollard's.
pub(super) fn understand(error: bollard::errors::Error) -> EngineError {
    use bollard::errors::Error;
    match error {
        Error::DockerResponseServerError { status_code, message } => refused(status_code, message),
        Error::DockerStreamError { error } => EngineError::Failed { message: error },
        Error::RequestTimeoutError => EngineError::Timeout,
        Error::IOError { err } => match err.downcast::<EngineError>() {
            Ok(error) => error,
            Err(err) => EngineError::io(err),
        },
        other => EngineError::protocol(other),
    }
}

/// Classifies a refusal whose message says more than its status.
pub(super) fn refined(error: EngineError) -> EngineError {
    match error {
        EngineError::Refused { status, message } => refused(status, message),
        EngineError::Conflict { message } => refused(409, message),
        other => other,
    }
}

fn refused(status: u16, message: String) -> EngineError {
    // Another process is removing the container.
    if message.contains("dead or marked for removal") {
        return EngineError::NotFound { message };
    }
    // Engines before 25 answer 409 for a container's name and 403 or 500 for some others. And they check a network's name and then take
    // it: two runs at once can both be told it is free.
    let is_taken =
        ["already exists", "already in use by", AMBIGUOUS].iter().any(|words| message.contains(words));
    match status {
        404 => EngineError::refused(status, message),
        _ if is_taken => EngineError::Conflict { message },
        _ => EngineError::refused(status, message),
    }
}

/// Turns a conflict about anything but a network's name into a plain failure: another name would not help.
pub(crate) fn unless_ambiguous(error: EngineError) -> EngineError {
    match error {
        EngineError::Conflict { message } if !message.contains(AMBIGUOUS) => EngineError::Failed { message },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_goes_away_is_told_with_what_helps() {
        let error = EngineError::io(std::io::ErrorKind::UnexpectedEof.into());
        assert!(hint(&error).unwrap().starts_with("claude-bottle cleanup"));
    }

    #[test]
    fn a_full_disk_is_told_with_what_helps() {
        let message = "mkdir /data/x: no space left on device".to_owned();
        for error in
            [EngineError::Refused { status: 500, message: message.clone() }, EngineError::Failed { message }]
        {
            assert!(hint(&error).unwrap().starts_with("docker system df"));
        }
        assert_eq!(hint(&EngineError::Failed { message: "no such image".to_owned() }), None);
    }
}
