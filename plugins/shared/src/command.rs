//! The agent's command line: the prompt is added here, so that the host need not know how.

use std::path::Path;

use claude_bottle_plugin_api::{ExecRequest, ExecRole};

/// The option by which Claude Code reads an appended system prompt from a file.
const PROMPT_OPTION: &str = "--append-system-prompt-file";

/// The program whose option that is; another agent gets its command untouched.
const PROGRAM: &str = "claude";

/// Returns the argument list to run, with the prompt file when the agent is Claude Code and has a prompt.
pub fn agent_command(request: &ExecRequest) -> Vec<String> {
    let mut command = request.command.clone();
    let program = command.first().map(Path::new).and_then(Path::file_name);
    if let (ExecRole::Agent, Some(prompt)) = (request.role, &request.prompt_path)
        && program.is_some_and(|name| name == PROGRAM)
    {
        command.splice(1..1, [PROMPT_OPTION.to_owned(), prompt.clone()]);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(command: &[&str], role: ExecRole, prompt: Option<&str>, expected: &[&str]) {
        let mut request = ExecRequest::new(command.iter().map(|&word| word.to_owned()).collect(), role);
        request.prompt_path = prompt.map(str::to_owned);
        assert_eq!(agent_command(&request), expected);
    }

    #[test]
    fn only_the_agent_claude_gets_the_prompt() {
        let with = ["claude", "--append-system-prompt-file", "/p", "-x"];
        check(&["claude", "-x"], ExecRole::Agent, Some("/p"), &with);
        let path = ["/usr/bin/claude", "--append-system-prompt-file", "/p"];
        check(&["/usr/bin/claude"], ExecRole::Agent, Some("/p"), &path);
        check(&["claude"], ExecRole::Agent, None, &["claude"]);
        check(&["claude"], ExecRole::Command, Some("/p"), &["claude"]);
        check(&["sh", "claude"], ExecRole::Agent, Some("/p"), &["sh", "claude"]);
        check(&[], ExecRole::Agent, Some("/p"), &[]);
    }
}
