//! claude-bottle.yaml(5): every key of the manifest with what its schema says of it, so that page and program cannot differ.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::manifest;

/// What the page begins with.
const BEGIN: &str = "\
.SH NAME
claude\\-bottle.yaml \\- the manifest of claude\\-bottle(1)
.SH DESCRIPTION
A YAML file in the home directory,
.IR ~/claude\\-bottle.yaml ,
or else in
.IR ~/.config/claude\\-bottle ,
and one of a project, in the working directory or above. It has
.B bottles
by name, each of which says what it grants, and
.BR agents ,
each of which runs in one of them. Bottles of a project's file count once it is trusted.
.PP
Each section below has the keys at one place; NAME stands for a name that you give, [] for each element of a list.
";

/// What it ends with.
const END: &str = "\
.SH EXAMPLES
.nf
bottles:
  dev:
    egress:
      presets: [node]
      allowlist: [api.example.com, deny gist.githubusercontent.com]
    limits: { cpus: 2, memory: 4GiB }
agents:
  fixer: { bottle: dev, prompt: You fix failing tests. }
.fi
.SH SEE ALSO
.BR claude\\-bottle (1),
.BR claude\\-bottle\\-init (1),
.BR claude\\-bottle\\-policy\\-check (1)
";

/// Returns the page.
pub(super) fn page() -> String {
    let schema = manifest::schema();
    let version = env!("CARGO_PKG_VERSION");
    let mut page = Page {
        schema: &schema,
        text: format!(".TH claude\\-bottle.yaml 5 \"\" \"claude\\-bottle {version}\"\n{BEGIN}"),
        done: BTreeSet::new(),
    };
    for key in ["bottles", "agents"] {
        page.values(&schema["properties"][key], key);
    }
    page.text + END
}

struct Page<'a> {
    schema: &'a Value,
    text: String,
    /// Definitions that have a section.
    done: BTreeSet<&'a str>,
}

impl<'a> Page<'a> {
    /// Returns what a schema refers to, with its name.
    fn definition(&self, schema: &'a Value) -> Option<(&'a str, &'a Value)> {
        let name = schema["$ref"].as_str()?.strip_prefix("#/$defs/")?;
        Some((name, &self.schema["$defs"][name]))
    }

    /// Writes sections for all that stands below a key.
    fn values(&mut self, schema: &'a Value, path: &str) {
        if let Some((name, definition)) = self.definition(schema) {
            match definition["properties"].as_object() {
                Some(keys) if self.done.insert(name) => self.section(path, definition, keys),
                Some(_) => {}
                None => self.values(definition, path),
            }
        }
        for one in schema["anyOf"].as_array().into_iter().flatten() {
            self.values(one, path);
        }
        let patterns = schema["patternProperties"].as_object().into_iter().flat_map(Map::values);
        for one in patterns.chain(schema.get("additionalProperties")) {
            self.values(one, &format!("{path}.NAME"));
        }
        if let Some(items) = schema.get("items") {
            self.values(items, &format!("{path}[]"));
        }
    }

    /// Writes the section of one place, and those of what is below.
    fn section(&mut self, path: &str, definition: &'a Value, keys: &'a Map<String, Value>) {
        let about = definition["description"].as_str().unwrap_or_default();
        // Headings are shown in capitals by some readers of pages, and paths are not.
        let _ = write!(self.text, ".SH KEYS OF {}\n{}\n", escaped(path), escaped(about));
        let required: Vec<_> =
            definition["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (key, schema) in keys {
            let needed = if required.contains(&key.as_str()) { ", required" } else { "" };
            let (kind, about) = (self.kind(schema), schema["description"].as_str().unwrap_or_default());
            let _ = write!(self.text, ".TP\n.BR {} \" ({kind}{needed})\"\n", escaped(key));
            let _ = writeln!(self.text, "{}", escaped(&about.replace('\n', " ")));
        }
        for (key, schema) in keys {
            self.values(schema, &format!("{path}.{key}"));
        }
    }

    /// Says in a word or two what a value is.
    fn kind(&self, schema: &'a Value) -> String {
        if let Some((_, definition)) = self.definition(schema) {
            return self.kind(definition);
        }
        let words = |of: &'a Value, key: &str| -> Vec<&str> {
            let all = of.as_array().into_iter().flatten();
            all.filter_map(|one| if key.is_empty() { one.as_str() } else { one[key].as_str() }).collect()
        };
        let named = [words(&schema["oneOf"], "const"), words(&schema["enum"], "")].concat();
        if !named.is_empty() {
            return named.join(", ");
        }
        if let Some(any) = schema["anyOf"].as_array() {
            let kinds: Vec<_> = any.iter().map(|one| self.kind(one)).collect();
            return kinds.join(" or ");
        }
        match schema["type"].as_str() {
            Some("array") => format!("list of {}", self.kind(&schema["items"])),
            Some("object") => "mapping".to_owned(),
            Some("boolean") => "true or false".to_owned(),
            Some("integer") => "whole number".to_owned(),
            Some("number") => "number".to_owned(),
            _ => "text".to_owned(),
        }
    }
}

/// Makes text of a page of it, with what stands between backquotes in bold.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('"', "\\(dq").replace('\'', "\\(aq");
    let mut shown = String::new();
    for (at, part) in text.split('`').enumerate() {
        let _ = write!(shown, "{}{part}", ["\\fR", "\\fB"][at % 2]);
    }
    let shown = shown.trim_start_matches("\\fR").to_owned();
    // A full stop at the beginning of a line would be a request.
    if shown.starts_with('.') { format!("\\&{shown}") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every key of every part of the schema has its paragraph, below the heading of a place.
    #[test]
    fn every_key_is_on_the_page() {
        let (schema, page) = (manifest::schema(), page());
        let mut keys = 0;
        for (name, definition) in schema["$defs"].as_object().unwrap() {
            for key in definition["properties"].as_object().into_iter().flat_map(Map::keys) {
                assert!(page.contains(&format!("\n.BR {} \" (", escaped(key))), "`{key}` of {name}");
                keys += 1;
            }
        }
        assert!(keys > 60, "the schema has {keys} keys only");
        for place in [
            "bottles.NAME",
            "bottles.NAME.egress",
            "bottles.NAME.ssh[]",
            "agents.NAME",
            "agents.NAME.mcp.NAME",
        ] {
            assert!(page.contains(&format!("\n.SH KEYS OF {place}\n")), "{place}");
        }
        assert!(page.contains("\n.BR bottle \" (text, required)\"\n"), "{page}");
        assert!(page.contains("\n.BR intercept \" (none, needed, all)\"\n"), "{page}");
    }

    #[test]
    fn text_is_no_request_and_no_escape() {
        assert_eq!(escaped(".a `b-c` \\n"), "\\&.a \\fBb\\-c\\fR \\en");
    }
}
