//! What can go wrong with a sandbox, and what advice goes with it.

use std::path::Path;

use claude_bottle_plugin_api::{Failure, FailureKind};

use crate::paths::show;
use crate::printable;

/// An error of making a sandbox.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BwrapError {
    /// A program of the host is missing.
    #[error("the program `{program}` is missing")]
    FindProgram {
        /// Its name.
        program: String,
    },
    /// The system lets this user make no user namespace.
    #[error("this system lets bubblewrap make no user namespace")]
    MakeNamespace {
        /// What `bwrap` said.
        said: String,
    },
    /// A sandbox ended before it was ready.
    #[error("cannot start the {part}")]
    StartPart {
        /// What it is for.
        part: &'static str,
        /// What it complained of.
        said: String,
    },
    /// A part of a bottle did not answer.
    #[error("the {part} did not answer within {seconds} seconds")]
    AwaitPart {
        /// What it is for.
        part: &'static str,
        /// How long it was waited for.
        seconds: u64,
    },
}

impl From<BwrapError> for Failure {
    fn from(error: BwrapError) -> Self {
        let message = error.to_string();
        match error {
            BwrapError::FindProgram { program } => {
                Self::new(FailureKind::Missing, message).hint(install_hint(&program))
            }
            BwrapError::MakeNamespace { said } => {
                with_cause(Self::new(FailureKind::Denied, message), &said).hint(namespace_hint())
            }
            BwrapError::StartPart { said, .. } if is_namespace_refusal(&said) => {
                BwrapError::MakeNamespace { said }.into()
            }
            BwrapError::StartPart { said, .. } => {
                let failure = with_cause(Self::new(FailureKind::Internal, message), &said);
                hint_for(&said).into_iter().fold(failure, Self::hint)
            }
            BwrapError::AwaitPart { .. } => Self::new(FailureKind::Timeout, message),
        }
    }
}

fn with_cause(mut failure: Failure, said: &str) -> Failure {
    if !said.is_empty() {
        failure.causes.push(said.to_owned());
    }
    failure
}

/// Recognises the messages of `bwrap` about namespaces the kernel refuses.
pub(super) fn is_namespace_refusal(said: &str) -> bool {
    ["No permissions to creat", "setting up uid map", "Creating new namespace failed", "Failed RTM_NEWADDR"]
        .iter()
        .any(|text| said.contains(text))
}

/// Returns advice for a refusal that a container's engine causes.
pub(super) fn hint_for(said: &str) -> Option<String> {
    let hint = if said.contains("mount proc") {
        "in a container a part of /proc is covered, and then no other can be mounted: run the container with \
         --security-opt systempaths=unconfined"
    } else if said.contains("make a mount namespace") {
        "root needs a capability for it: run the container with --cap-add SYS_ADMIN, or claude-bottle as an ordinary user"
    } else {
        return None;
    };
    Some(hint.to_owned())
}

/// Names the command that installs a program.
pub fn install_hint(program: &str) -> String {
    let package = match program {
        "bwrap" => "bubblewrap",
        "ssh-agent" | "ssh-add" | "ssh-keygen" => "openssh-client",
        other => other,
    };
    let command = match os_release_family().as_str() {
        "fedora" => "sudo dnf install",
        "arch" => "sudo pacman -S",
        "suse" => "sudo zypper install",
        "alpine" => "sudo apk add",
        _ => "sudo apt-get install",
    };
    format!("{command} {package}")
}

/// Names the family of the system by the file every one has: <https://www.freedesktop.org/software/systemd/man/os-release.html>.
fn os_release_family() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let words = text.lines().filter(|line| line.starts_with("ID=") || line.starts_with("ID_LIKE="));
    let words = words.collect::<Vec<_>>().join(" ");
    let families =
        [("fedora", "fedora"), ("rhel", "fedora"), ("arch", "arch"), ("suse", "suse"), ("alpine", "alpine")];
    families
        .iter()
        .find(|(word, _)| words.contains(word))
        .map_or_else(String::new, |(_, family)| (*family).to_owned())
}

/// Returns which setting of the system refuses user namespaces, and the command that changes it.
///
/// Ubuntu: <https://ubuntu.com/blog/ubuntu-23-10-restricted-unprivileged-user-namespaces>.
pub(super) fn namespace_hint() -> String {
    let is =
        |path: &str, wanted: &str| std::fs::read_to_string(path).is_ok_and(|value| value.trim() == wanted);
    if is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        return "AppArmor refuses user namespaces to programs without a profile, as Ubuntu sets it up: \
                sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
            .to_owned();
    }
    if is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        return "sudo sysctl -w kernel.unprivileged_userns_clone=1".to_owned();
    }
    if is("/proc/sys/user/max_user_namespaces", "0") {
        return "sudo sysctl -w user.max_user_namespaces=15000".to_owned();
    }
    "a container needs leave to make user namespaces: run it with --security-opt seccomp=unconfined \
     --security-opt systempaths=unconfined, or use CLAUDE_BOTTLE_BACKEND=docker"
        .to_owned()
}

/// Returns the failure of a path that cannot be a word of a command line.
pub(super) fn not_utf8(path: &Path) -> Failure {
    Failure::new(FailureKind::Invalid, format!("the path `{}` is not UTF-8", show(path)))
}

/// Reads what a process of ours left on its standard error: the last lines, escaped.
pub fn last_words(path: &Path) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().rev().take(3).map(printable).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("; ")
}
