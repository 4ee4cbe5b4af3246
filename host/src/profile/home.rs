//! What a backend is told of a profile: files with the manifest's prompt, settings and servers in them, and where things go.

use anyhow::bail;
use claude_bottle_plugin_api::{
    AgentProfile, Failure, FailureKind, FileFormat, HomeFile, OwnSettings, Spec, Subject,
};
use serde_json::{Map, Value};

use super::{DEFAULT, Profile, Server};
use crate::manifest::Agent;

/// Puts an agent's profile into a spec, whose bottle is complete.
///
/// # Errors
/// Fails when a server of tools is to get a variable that the bottle does not have.
pub fn enter(agent: &Agent, spec: &mut Spec) -> anyhow::Result<()> {
    for server in &agent.mcp {
        let has = |name: &&String| spec.bottle.env.iter().any(|variable| variable.name == **name);
        if let Some(name) = server.variables().find(|name| !has(name)) {
            let (origin, bottle) = (&server.origin, &spec.bottle.name);
            bail!(
                "{origin}: the server `{}` gets `{name}`, which is not in `env` of bottle `{bottle}`",
                server.name
            );
        }
    }
    let own = &agent.profile;
    let mut profile = AgentProfile::new(&own.name);
    profile.image = own.image.clone().or_else(|| (!own.built_in).then(String::new));
    if own.is_run_by(&agent.command) {
        profile.install.clone_from(&own.install);
    }
    profile.env.clone_from(&own.env);
    profile.files = own.home_files(&agent.prompt, &agent.settings, &agent.mcp);
    profile.own_settings =
        own.own_settings.as_ref().map(|form| OwnSettings::new(&form.file, form.keep.clone()));
    profile.skills.clone_from(&own.skills);
    profile.state.clone_from(&own.state);
    if !own.built_in {
        spec.requires.push(AgentProfile::FEATURE.to_owned());
    }
    spec.agent.profile = Some(profile);
    Ok(())
}

/// Says of an agent whose program a backend does not start where that is written.
pub fn locate(agent: &Agent, backend: &str, failure: Failure) -> Failure {
    match failure.subject.as_deref() {
        Some(Subject::Feature(feature)) if feature == AgentProfile::FEATURE => {
            let message = format!(
                "{}: the profile `{}`: the {backend} backend starts no agent but `{DEFAULT}`",
                agent.origin, agent.profile.name
            );
            Failure::new(FailureKind::Unsupported, message).hint("name another backend: --backend NAME")
        }
        _ => failure,
    }
}

impl Profile {
    /// Returns the words by which the program is told where its prompt is.
    pub fn prompt_arguments(&self) -> &[String] {
        self.prompt.as_ref().map_or(&[], |form| &form.arguments)
    }

    fn home_files(&self, prompt: &str, settings: &Map<String, Value>, servers: &[Server]) -> Vec<HomeFile> {
        let mut files: Vec<_> =
            self.files.iter().map(|file| self.home_file(file, settings, servers)).collect();
        if let Some(path) =
            self.prompt.as_ref().and_then(|form| form.file.as_ref()).filter(|_| !prompt.is_empty())
        {
            files.push(HomeFile::new(path, FileFormat::Text, Value::from(prompt)));
        }
        files
    }

    fn home_file(
        &self,
        file: &super::ProfileFile,
        settings: &Map<String, Value>,
        servers: &[Server],
    ) -> HomeFile {
        let mut content = object(file.content.as_ref());
        if self.settings.as_ref() == Some(&file.path) {
            lay(settings.clone(), &mut content);
        }
        if let Some(form) = self.mcp.as_ref().filter(|form| form.file == file.path && !servers.is_empty()) {
            let all = servers.iter().map(|server| (server.name.clone(), form.written(server)));
            lay(Map::from_iter([(form.key.clone(), Value::Object(all.collect()))]), &mut content);
        }
        lay(object(file.fixed.as_ref()), &mut content);
        HomeFile::new(&file.path, file.format, Value::Object(content))
    }

    /// Returns the keys of settings that the profile's own take the place of, as `a.b`.
    pub fn overruled(&self, settings: &Map<String, Value>) -> Vec<String> {
        let file = self.files.iter().find(|file| self.settings.as_ref() == Some(&file.path));
        let mut keys = Vec::new();
        if let Some(Value::Object(fixed)) = file.and_then(|file| file.fixed.as_ref()) {
            differing(settings, fixed, "", &mut keys);
        }
        keys
    }
}

fn object(value: Option<&Value>) -> Map<String, Value> {
    value.and_then(Value::as_object).cloned().unwrap_or_default()
}

/// Lays a document over another: mappings are merged, and anything else is replaced.
fn lay(over: Map<String, Value>, under: &mut Map<String, Value>) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Object(under)), Value::Object(over)) => lay(over, under),
            (_, value) => drop(under.insert(key, value)),
        }
    }
}

fn differing(settings: &Map<String, Value>, fixed: &Map<String, Value>, place: &str, keys: &mut Vec<String>) {
    for (key, value) in fixed {
        match (settings.get(key), value) {
            (None, _) => {}
            (Some(Value::Object(settings)), Value::Object(fixed)) => {
                differing(settings, fixed, &format!("{place}{key}."), keys);
            }
            (Some(said), fixed) if said == fixed => {}
            _ => keys.push(format!("{place}{key}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Profiles, Transport};
    use super::*;

    fn files(profile: &str, settings: &Value, servers: &[Server]) -> Vec<HomeFile> {
        let settings = settings.as_object().cloned().unwrap();
        Profiles::default().find(profile).unwrap().home_files("Be kind.", &settings, servers)
    }

    fn content<'a>(files: &'a [HomeFile], path: &str) -> &'a Value {
        &files.iter().find(|file| file.path == path).unwrap().content
    }

    #[test]
    fn settings_lie_between_what_is_usual_and_what_is_fixed() {
        let settings =
            json!({ "model": "x", "check_for_update_on_startup": true, "model_provider": "openai" });
        let files = files("codex", &settings, &[]);
        let toml = content(&files, ".codex/config.toml");
        assert_eq!((&toml["model"], &toml["model_provider"]), (&json!("x"), &json!("openai")));
        assert_eq!(toml["check_for_update_on_startup"], json!(false));
        assert_eq!(toml["projects"]["${workspace}"]["trust_level"], "trusted");
        let codex = Profiles::default().find("codex").unwrap();
        assert_eq!(codex.overruled(settings.as_object().unwrap()), ["check_for_update_on_startup"]);
        let nested = json!({ "security": { "folderTrust": { "enabled": true, "more": 1 } } });
        let gemini = Profiles::default().find("gemini").unwrap();
        assert_eq!(gemini.overruled(nested.as_object().unwrap()), ["security.folderTrust.enabled"]);
        assert!(gemini.overruled(&Map::new()).is_empty());
    }

    #[test]
    fn a_prompt_without_an_option_is_a_file_of_the_home() {
        assert_eq!(content(&files("codex", &json!({}), &[]), ".codex/AGENTS.md"), "Be kind.");
        assert_eq!(files("claude", &json!({}), &[]).len(), 2);
        assert_eq!(Profiles::ours().prompt_arguments(), ["--append-system-prompt-file", "{path}"]);
    }

    #[test]
    fn servers_are_in_the_file_that_the_program_reads() {
        let transport = Transport::Stdio { command: vec!["x".to_owned()], env: Vec::new() };
        let servers = [Server { name: "tools".to_owned(), origin: String::new(), transport }];
        let claude = files("claude", &json!({}), &servers);
        assert_eq!(content(&claude, ".claude.json")["mcpServers"]["tools"]["command"], "x");
        assert_eq!(content(&claude, ".claude.json")["hasCompletedOnboarding"], json!(true));
        let codex = files("codex", &json!({}), &servers);
        assert_eq!(content(&codex, ".codex/config.toml")["mcp_servers"]["tools"], json!({ "command": "x" }));
    }
}
