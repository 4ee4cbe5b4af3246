//! Servers of tools, as a program's settings name them: <https://modelcontextprotocol.io>.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// How a program's settings name servers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    /// The file of the home, one of the profile's.
    pub file: String,
    /// The key of that file under which they are, by name.
    pub key: String,
    /// How a text names a variable, for `NAME`.
    #[serde(default = "usual_variable")]
    pub variable: String,
    /// A server that is started: `{program}`, `{arguments}`, `{command}` for both, `{variables}` by name with how a text names
    /// each, `{names}` for their names alone.
    pub stdio: Map<String, Value>,
    /// A server that is called: `{url}`, `{headers}`, `{header-names}` with the variables that they are, `{bearer}` for that of
    /// `Authorization: Bearer ${NAME}`.
    pub http: Map<String, Value>,
}

fn usual_variable() -> String {
    "${NAME}".to_owned()
}

/// A server of tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its name.
    pub name: String,
    /// Where it is written.
    pub origin: String,
    /// How it is spoken to.
    pub transport: Transport,
}

/// How a server is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// By the streams of a program in the bottle.
    Stdio {
        /// Program and arguments, never empty.
        command: Vec<String>,
        /// Variables of the bottle that it gets.
        env: Vec<String>,
    },
    /// By requests.
    Http {
        /// Where.
        url: String,
        /// Headers, each with what is before a variable, and the variable.
        headers: BTreeMap<String, (String, String)>,
    },
}

impl Server {
    /// Returns the variables that it gets.
    pub fn variables(&self) -> impl Iterator<Item = &String> {
        let (stdio, http) = match &self.transport {
            Transport::Stdio { env, .. } => (Some(env), None),
            Transport::Http { headers, .. } => (None, Some(headers)),
        };
        let headers = http.into_iter().flat_map(|headers| headers.values().map(|(_, name)| name));
        stdio.into_iter().flatten().chain(headers)
    }
}

impl Form {
    /// Writes a server as the program has it. Keys without a value are left out.
    pub(super) fn written(&self, server: &Server) -> Value {
        let (form, values) = match &server.transport {
            Transport::Stdio { command, env } => (&self.stdio, self.stdio_values(command, env)),
            Transport::Http { url, headers } => (&self.http, self.http_values(url, headers)),
        };
        let filled = form.iter().filter_map(|(key, value)| {
            let value = value.as_str().map_or(Some(value.clone()), |text| match values.get(text) {
                Some(value) => Some(value.clone()).filter(|value| !is_empty(value)),
                None => Some(Value::from(text)),
            });
            Some((key.clone(), value?))
        });
        Value::Object(filled.collect())
    }

    fn stdio_values(&self, command: &[String], env: &[String]) -> BTreeMap<&'static str, Value> {
        let (program, arguments) =
            command.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
        let variables: Map<_, _> =
            env.iter().map(|name| (name.clone(), Value::from(self.named(name)))).collect();
        BTreeMap::from([
            ("{program}", json!(program)),
            ("{arguments}", json!(arguments)),
            ("{command}", json!(command)),
            ("{variables}", Value::Object(variables)),
            ("{names}", json!(env)),
        ])
    }

    fn http_values(
        &self,
        url: &str,
        headers: &BTreeMap<String, (String, String)>,
    ) -> BTreeMap<&'static str, Value> {
        let is_bearer =
            |header: &str, before: &str| header.eq_ignore_ascii_case("authorization") && before == "Bearer ";
        let text = |(header, (before, name)): (&String, &(String, String))| {
            (header.clone(), Value::from(format!("{before}{}", self.named(name))))
        };
        let bearer = headers.iter().find(|(header, (before, _))| is_bearer(header, before));
        let alone = headers.iter().filter(|(_, (before, _))| before.is_empty());
        let alone = alone.map(|(header, (_, name))| (header.clone(), Value::from(name.as_str())));
        BTreeMap::from([
            ("{url}", json!(url)),
            ("{headers}", Value::Object(headers.iter().map(text).collect())),
            ("{header-names}", Value::Object(alone.collect())),
            ("{bearer}", bearer.map_or(Value::Null, |(_, (_, name))| json!(name))),
        ])
    }

    fn named(&self, name: &str) -> String {
        self.variable.replace("NAME", name)
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Profiles;
    use super::*;

    fn written(profile: &str, transport: Transport) -> Value {
        let profile = Profiles::default().find(profile).unwrap();
        profile.mcp.as_ref().unwrap().written(&Server {
            name: "x".to_owned(),
            origin: String::new(),
            transport,
        })
    }

    #[test]
    fn a_program_is_named_as_each_agent_has_it() {
        let stdio = || Transport::Stdio {
            command: vec!["node".to_owned(), "a.js".to_owned()],
            env: vec!["TOKEN".to_owned()],
        };
        let command = json!({ "command": "node", "args": ["a.js"] });
        let with = |more: Value| {
            let mut all = command.clone();
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            all
        };
        let env = json!({ "type": "stdio", "env": { "TOKEN": "${TOKEN}" } });
        assert_eq!(written("claude", stdio()), with(env));
        assert_eq!(written("codex", stdio()), with(json!({ "env_vars": ["TOKEN"] })));
        assert_eq!(
            written("gemini", stdio()),
            with(json!({ "trust": true, "env": { "TOKEN": "${TOKEN}" } }))
        );
        let environment = json!({ "TOKEN": "{env:TOKEN}" });
        let whole = json!({ "type": "local", "enabled": true, "command": ["node", "a.js"], "environment": environment });
        assert_eq!(written("opencode", stdio()), whole);
        let plain = Transport::Stdio { command: vec!["x".to_owned()], env: Vec::new() };
        assert_eq!(written("codex", plain), json!({ "command": "x" }));
    }

    #[test]
    fn a_server_elsewhere_gets_its_secrets_by_name() {
        let http = || Transport::Http {
            url: "https://x.test/mcp".to_owned(),
            headers: BTreeMap::from([
                ("Authorization".to_owned(), ("Bearer ".to_owned(), "A".to_owned())),
                ("X-Key".to_owned(), (String::new(), "B".to_owned())),
            ]),
        };
        let headers = json!({ "Authorization": "Bearer ${A}", "X-Key": "${B}" });
        let url = "https://x.test/mcp";
        assert_eq!(written("claude", http()), json!({ "type": "http", "url": url, "headers": headers }));
        let codex = json!({ "url": url, "bearer_token_env_var": "A", "env_http_headers": { "X-Key": "B" } });
        assert_eq!(written("codex", http()), codex);
        assert_eq!(written("gemini", http()), json!({ "httpUrl": url, "headers": headers, "trust": true }));
    }
}
