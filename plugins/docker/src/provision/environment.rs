//! Secret variables, and what lets Claude Code start straight into its prompt: set up by the container's own process.
//!
//! It reads the variables from its standard input as it starts, which costs no program of its own, and then stays for as long
//! as the bottle.
//! Invariant: a secret goes from the host over standard input into a file in the bottle's memory. It is on no argument list, in
//! no setting of the container, in no image and on no disk.

use claude_bottle_backend_shared::{env_file, onboarding};
use claude_bottle_plugin_api::{Call, EnvValue, Result, Spec};
use zeroize::Zeroizing;

use super::ssh;
use crate::error::DockerError;
use crate::plan::RUN_DIR;

/// The file every program of the bottle reads its secret variables from.
pub(crate) const FILE: &str = "env";

/// `$1` is the file of variables, then come pairs of a path and its content, written where nothing is yet.
///
/// The shell calls a full disk an I/O error. cat, a process more, says what it is: it is asked to where the shell has failed.
const SCRIPT: &str = r#"
    set -eu; umask 077
    cat >"$1.new"; chmod 400 "$1.new"; mv "$1.new" "$1"; shift
    while [ $# -gt 1 ]; do
        if [ ! -e "$1" ]; then
            mkdir -p "${1%/*}"
            printf '%s\n' "$2" 2>/dev/null >"$1" || printf '%s\n' "$2" | cat >"$1"
        fi
        shift 2
    done
"#;

/// Returns the words of the container's own process, whose last ones are `last`.
pub(crate) fn command(home: &str, workspace: &str, last: &str) -> Vec<String> {
    let words = ["sh".to_owned(), "-c".to_owned(), format!("{SCRIPT}{last}"), "sh".to_owned()];
    let file = |(path, content): (&str, String)| [format!("{home}/{path}"), content];
    let files = onboarding(workspace).into_iter().flat_map(file);
    words.into_iter().chain([format!("{RUN_DIR}/{FILE}")]).chain(files).collect()
}

/// Returns what that process is to read.
pub(crate) fn input(spec: &Spec, call: &Call) -> Result<Zeroizing<Vec<u8>>> {
    let mut input =
        Zeroizing::new(b"# Variables of this bottle that are in no setting of the container.\n".to_vec());
    if let Some((name, socket)) = ssh::variable(spec) {
        input.extend(env_file(name, socket.as_bytes()).into_iter().flatten());
    }
    for variable in &spec.bottle.env {
        if matches!(variable.value, EnvValue::Literal { .. }) {
            continue;
        }
        let secret = call.secret(&variable.name)?;
        let line = env_file(&variable.name, secret.expose()).map(Zeroizing::new);
        let line = line.ok_or_else(|| DockerError::CarryVariable { name: variable.name.clone() })?;
        input.extend_from_slice(&line);
    }
    Ok(input)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Output, Stdio};

    use super::*;

    /// Runs the words, with a home on a small disk that is as full as `fill` makes it.
    fn run(fill: &str) -> Output {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().to_str().unwrap();
        let mut words = command(home, "/workspace", "cat \"$HOME/.claude/settings.json\"");
        // The file of variables is on a disk of its own in a bottle too.
        let run_dir = tempfile::tempdir().unwrap();
        words[4] = run_dir.path().join(FILE).to_str().unwrap().to_owned();
        let mount = "mount -t tmpfs -o size=8k none \"$HOME\"";
        let script = format!("set -e; {mount}; mkdir \"$HOME/.claude\"; {fill}\nexec \"$@\"");
        let mut unshare = Command::new("unshare");
        unshare.args(["--map-root-user", "--mount", "sh", "-c", &script, "sh"]).args(words);
        unshare.env("HOME", home).stdin(Stdio::null()).output().unwrap()
    }

    #[test]
    fn what_is_not_there_is_written() {
        let output = run("");
        assert!(output.status.success(), "{output:?}");
        assert!(!output.stdout.is_empty());
    }

    #[test]
    fn a_full_disk_is_named() {
        let output = run("dd if=/dev/zero of=\"$HOME/fill\" bs=4k 2>/dev/null || true");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        assert!(said.contains("No space left on device"), "{said}");
    }
}
