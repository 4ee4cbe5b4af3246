//! The plan in the rows that decide; all of it is one key or `-v` away.

use super::details::{changed_here, identity, list, resumed};
use super::secrets::{self, SecretView};
use super::{Changes, PlanView};

/// What of a backend's own facts decides too, by what the kit of backends calls it.
const COPIED: &str = "copied in";
const LET_IN: &str = "secrets let in";
const LEFT_OUT: &str = "left out";
const LIMITS: &str = "limits";

impl PlanView {
    /// Returns the rows: six, and one more for each thing that not every run has.
    pub(super) fn summary(&self) -> Vec<(String, String)> {
        let mut rows = Vec::new();
        let mut row = |label: &str, value: Option<String>| {
            rows.extend(value.map(|value| (label.to_owned(), value)));
        };
        row("agent", Some(self.who()));
        row("workspace", Some(self.files()));
        row("secrets", Some(self.secrets_and_keys()));
        row("egress", Some(format!("{}{}", self.egress.text(), self.refuses())));
        row("limits", self.fact(LIMITS).map(str::to_owned));
        row("given", Some(self.given()));
        row("setup", (!self.setup.is_empty()).then(|| self.setup.join(", then ")));
        row("upstream proxy", self.egress.upstream());
        row("forward", (!self.egress.forward.is_empty()).then(|| self.egress.forward.join(", ")));
        row("goes on from", self.resumes.as_ref().map(resumed));
        row("changed here", self.resumes.as_ref().and_then(changed_here));
        row("terminal", self.survives.then(|| "when it is closed, the agent goes on".to_owned()));
        row("remote control", self.remote_control.then(|| "on".to_owned()));
        rows
    }

    fn fact(&self, label: &str) -> Option<&str> {
        self.facts.iter().find(|fact| fact.label == label).map(|fact| fact.value.as_str())
    }

    /// Says who is started, and where.
    fn who(&self) -> String {
        let command = words(&self.command);
        // Why it is this one is a detail.
        let runtime = self.runtime.as_ref().and_then(|runtime| runtime.split(" (").next());
        let runtime = runtime.map(|name| format!(", {name}")).unwrap_or_default();
        let called = self.name.as_ref().map(|name| format!(" called {name}")).unwrap_or_default();
        format!("{}: {command}; in bottle {}{called} ({}{runtime})", self.agent, self.bottle, self.backend)
    }

    /// Says which files come along, and what becomes of them.
    fn files(&self) -> String {
        let Some(_) = &self.workspace else { return self.workspace_text() };
        let amount = self.fact(COPIED).map(|amount| format!(" ({amount})")).unwrap_or_default();
        let left_out = self.fact(LEFT_OUT).map(|names| format!("; left out: {names}")).unwrap_or_default();
        let let_in = self.facts.iter().filter(|fact| fact.label == LET_IN);
        let let_in: String = let_in.map(|fact| format!("; {LET_IN}: {}", fact.value)).collect();
        let becomes = self.changes.and_then(Changes::row).map(|row| format!("; changes are {row}"));
        let by = self.git_identity.as_ref().map(|by| format!("; commits by {}", identity(by)));
        let (becomes, by) = (becomes.unwrap_or_default(), by.unwrap_or_default());
        format!("copy of {}{amount}{left_out}{let_in}{becomes}{by}", self.workspace_text())
    }

    /// Says what of the user's the agent may use without seeing it, and what it sees.
    fn secrets_and_keys(&self) -> String {
        let held = SecretView::text(&self.secrets);
        let read = (!self.env_exposed.is_empty())
            .then(|| format!("readable by the agent: {}", self.env_exposed.join(", ")));
        let ssh = (!self.ssh_hosts.is_empty()).then(|| format!("ssh: {}", self.ssh_hosts.join(", ")));
        parts([held, read, ssh])
    }

    /// Says it where the rule is enforced.
    fn refuses(&self) -> &'static str {
        if self.egress.is_enforced() { "; all else is refused" } else { "" }
    }

    /// Says what else the agent gets.
    fn given(&self) -> String {
        let named =
            |label: &str, names: &[String]| (!names.is_empty()).then(|| format!("{label}: {}", list(names)));
        let env = secrets::plain(&self.env_names, &self.env_exposed, &self.secrets);
        let program = self.command.first().filter(|_| self.prompt_is_untold);
        let untold = program.map(|program| format!(", not passed to `{program}`")).unwrap_or_default();
        let prompt =
            (self.prompt_chars > 0).then(|| format!("prompt: {} characters{untold}", self.prompt_chars));
        parts([
            named("skills", &self.skills),
            prompt,
            named("env", &env),
            named("mcp", &self.mcp),
            named("from home", &self.claude),
        ])
    }
}

fn parts<const N: usize>(parts: [Option<String>; N]) -> String {
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join("; ") }
}

/// Returns the words of a command as a shell takes them.
pub(super) fn words(command: &[String]) -> String {
    let quoted = |word: &String| match shlex::try_quote(word) {
        Ok(quoted) => quoted.into_owned(),
        // A NUL, which no command line has.
        Err(_) => format!("{word:?}"),
    };
    command.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_as_a_shell_takes_them() {
        let check = |command: &[&str], shown: &str| {
            let command: Vec<_> = command.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(words(&command), shown);
        };
        check(&["claude", "--print", "Say hello"], "claude --print 'Say hello'");
        check(&["sh", "-c", ""], "sh -c ''");
        check(&["echo", "it's"], "echo \"it's\"");
    }
}
