//! Secret variables, and what lets Claude Code start straight into its prompt: set up by one program inside.
//!
//! Invariant: a secret goes from the host over standard input into a file in the bottle's memory. It is on no argument list, in
//! no setting of the container, in no image and on no disk.

use claude_bottle_backend_shared::env_file;
use claude_bottle_plugin_api::{Call, EnvValue, Result};
use zeroize::Zeroizing;

use super::{Guest, Script, Task, onboarding};
use crate::error::DockerError;
use crate::plan::RUN_DIR;

/// The file every program of the bottle reads its secret variables from.
pub(crate) const FILE: &str = "env";

/// `$1` is the file of variables, then come pairs of a path and its content, written where nothing is yet.
const SCRIPT: &str = r#"
    set -eu; umask 077
    cat >"$1.new"; chmod 400 "$1.new"; mv "$1.new" "$1"; shift
    while [ $# -gt 1 ]; do
        if [ ! -e "$1" ]; then mkdir -p "${1%/*}"; printf '%s\n' "$2" >"$1"; fi
        shift 2
    done"#;

/// Writes the variables and the files of the first start.
pub(super) async fn set_up(guest: &impl Guest, call: &Call, task: &Task<'_>) -> Result<()> {
    let mut input = Zeroizing::new(b"# Secret variables of this bottle.\n".to_vec());
    for variable in &task.spec.bottle.env {
        if matches!(variable.value, EnvValue::Literal { .. }) {
            continue;
        }
        let secret = call.secret(&variable.name)?;
        let line = env_file(&variable.name, secret.expose()).map(Zeroizing::new);
        let line = line.ok_or_else(|| DockerError::CarryVariable { name: variable.name.clone() })?;
        input.extend_from_slice(&line);
    }
    let mut arguments = vec![format!("{RUN_DIR}/{FILE}")];
    arguments.extend(onboarding::files(task).into_iter().flat_map(|(path, content)| [path, content]));
    let action = "write the secret variables";
    guest.run(Script { action, text: SCRIPT, arguments, input, root: false }).await.map(drop)
}
