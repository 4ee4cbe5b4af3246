//! The log for developers, on standard error.

use tracing_subscriber::EnvFilter;

use crate::environment::Invocation;
use crate::error::{CliError, CliResult, Exit};

/// How much is logged, least first.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
/// What logs: this program and the plug-ins.
const SOURCES: [&str; 2] = ["claude_bottle", "plugin"];

/// Starts logging: by CLAUDE_BOTTLE_LOG, else by how often `-v` was given.
pub(super) fn start(invocation: &Invocation, verbose: u8, is_watcher: bool) -> CliResult {
    let by_flag = match verbose {
        0 if is_watcher => "claude_bottle=warn,plugin=warn",
        0 => "error",
        1 => "claude_bottle=debug,plugin=info",
        _ => "claude_bottle=trace,plugin=trace",
    };
    let filter = invocation.setting("LOG").unwrap_or(by_flag);
    if let Some(wrong) = filter.split(',').map(str::trim).find(|directive| !is_directive(directive)) {
        let message = format!("CLAUDE_BOTTLE_LOG has `{}`, which is not a level", wrong.escape_debug());
        let hint =
            format!("use {}, or one of them for a part: claude_bottle=debug,plugin=trace", LEVELS.join(", "));
        return Err(CliError::new(Exit::Failed, message).hint(hint));
    }
    let filter = EnvFilter::new(filter);
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    Ok(())
}

/// Returns `true` for a level, and for a part of the program with a level.
fn is_directive(text: &str) -> bool {
    let (source, level) = text.split_once('=').map_or((None, text), |(source, level)| (Some(source), level));
    let is_source =
        source.is_none_or(|source| SOURCES.contains(&source.split("::").next().unwrap_or_default()));
    is_source && LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directive_is_a_level_with_or_without_a_known_source() {
        for right in ["debug", "TRACE", "off", "plugin=trace", "claude_bottle::runs=debug"] {
            assert!(is_directive(right), "{right}");
        }
        for wrong in ["", "loud", "plugin", "plugin=loud", "plugins=debug", "debug=plugin", "1"] {
            assert!(!is_directive(wrong), "{wrong}");
        }
    }
}
