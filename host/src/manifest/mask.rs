//! Which parts of a manifest no excerpt shows: the values of environment variables and of headers, and an address with a user.
//! People write secrets there in clear although they should not, and an error message travels further than the file.

use super::node::{Node, Value};
use super::source::{Position, Source, Span};

/// How the sections begin whose values are not shown, in a text that could not be parsed.
const SECTIONS: [&str; 9] =
    ["env:", "\"env\"", "'env'", "headers:", "\"headers\"", "secrets:", "\"secrets\"", "'secrets'", "token:"];

/// The key whose value may hold a password.
const PROXY: &str = "upstream_proxy";

/// Returns the values of all `env` sections of a parsed manifest, those of headers, and the addresses that have a user.
pub(crate) fn by_nodes(root: &Node) -> Vec<Span> {
    let mut masks = of_servers(root);
    for (_, bottles) in entries(root).iter().filter(|(key, _)| key.text == "bottles") {
        for (_, bottle) in entries(bottles) {
            for (_, env) in entries(bottle).iter().filter(|(key, _)| key.text == "env") {
                match &env.value {
                    Value::Mapping(entries) => masks.extend(entries.iter().map(|(_, value)| value.span)),
                    _ => masks.push(env.span),
                }
            }
            let secrets = entries(bottle).iter().filter(|(key, _)| key.text == "secrets");
            for (_, entry) in secrets.flat_map(|(_, secrets)| entries(secrets)) {
                let from = entries(entry).iter().filter(|(key, _)| key.text == "from").map(|(_, node)| node);
                let texts =
                    [entry].into_iter().chain(from).filter(|node| matches!(node.value, Value::String(_)));
                masks.extend(texts.map(|node| node.span));
            }
            let egress = entries(bottle).iter().filter(|(key, _)| key.text == "egress");
            let proxies = egress.flat_map(|(_, egress)| entries(egress)).filter(|(key, _)| key.text == PROXY);
            masks.extend(proxies.filter(|(_, node)| has_user(&node.value)).map(|(_, node)| node.span));
        }
    }
    masks
}

/// Returns the texts of `token` in the user's defaults.
pub(crate) fn of_token(root: &Node) -> Vec<Span> {
    let tokens = entries(root).iter().filter(|(key, _)| key.text == "token").map(|(_, node)| node);
    let texts = tokens.flat_map(|token| {
        let from = entries(token).iter().filter(|(key, _)| key.text == "from").map(|(_, node)| node);
        [token].into_iter().chain(from).filter(|node| matches!(node.value, Value::String(_)))
    });
    texts.map(|node| node.span).collect()
}

/// Returns the values of headers, and addresses with a user, of the servers that agents have.
fn of_servers(root: &Node) -> Vec<Span> {
    let named = |node, name: &'static str| entries(node).iter().filter(move |(key, _)| key.text == name);
    let agents = named(root, "agents").flat_map(|(_, agents)| entries(agents));
    let servers = agents.flat_map(|(_, agent)| named(agent, "mcp")).flat_map(|(_, servers)| entries(servers));
    let mut masks = Vec::new();
    for (_, server) in servers {
        let headers = named(server, "headers").flat_map(|(_, headers)| entries(headers));
        masks.extend(headers.map(|(_, value)| value.span));
        masks.extend(named(server, "url").filter(|(_, url)| has_user(&url.value)).map(|(_, url)| url.span));
    }
    masks
}

fn has_user(value: &Value) -> bool {
    matches!(value, Value::String(text) if text.contains('@'))
}

fn entries(node: &Node) -> &[(super::node::Key, Node)] {
    match &node.value {
        Value::Mapping(entries) => entries,
        _ => &[],
    }
}

/// Returns what looks like values of `env` and `headers` in a text that could not be parsed, rather too much than too
/// little: whatever is behind such a key and, below it, behind the first colon of each line.
pub(crate) fn by_lines(source: &Source) -> Vec<Span> {
    let mut masks = Vec::new();
    let mut section: Option<usize> = None;
    for (index, line) in source.lines().enumerate() {
        let words = line.trim_start();
        let indent = line.len() - words.len();
        if words.is_empty() {
            continue;
        }
        if section.is_some_and(|outer| indent <= outer) {
            section = None;
        }
        let key = SECTIONS.iter().find_map(|key| Some(line.find(key)? + key.len()));
        let from = match (section, key) {
            (Some(_), _) => line.find(':').map_or(indent, |colon| colon + 1),
            (None, Some(end)) => {
                section = Some(indent);
                end
            }
            (None, None) => match line.find(PROXY) {
                Some(key) => key + PROXY.len(),
                None => continue,
            },
        };
        let column = |bytes: usize| line[..bytes].chars().count() + 1;
        let (start, end) = (column(from), column(line.len()));
        let at = |column| Position { line: index + 1, column };
        masks.push(Span { start: at(start), end: at(end) });
    }
    masks
}

#[cfg(test)]
mod tests {
    use super::super::source::FileName;
    use super::*;

    fn check(text: &str, expected: &str) {
        let name = FileName { path: "f".into(), shown: "f".to_owned() };
        let mut source = Source::new(name, text.to_owned());
        source.set_masks(by_lines(&source));
        let lines: Vec<String> = (1..=source.lines().count()).map(|number| source.line(number)).collect();
        assert_eq!(lines.join("\n"), expected);
    }

    #[test]
    fn block_style() {
        check(
            "bottles:\n  b:\n    env:\n      A: x\n      B: |\n        abc\n\n      é: yz\n    image: i\n",
            "bottles:\n  b:\n    env:\n      A:**\n      B:**\n        ***\n\n      é:***\n    image: i\n",
        );
    }

    #[test]
    fn flow_style_and_json() {
        check("b: {upstream_proxy: x}\nc: 1", "b: {upstream_proxy****\nc: 1");
        check("b: {env: {A: x}, image: i}\nc: 1", "b: {env:******************\nc: 1");
        check(
            "  \"env\": {\n    \"A\": \"x\"\n  },\n  \"c\": 1",
            "  \"env\"***\n    \"A\":****\n  },\n  \"c\": 1",
        );
    }
}
