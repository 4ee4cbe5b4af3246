//! Any bytes as a manifest: the load answers, its answer can be printed, and what it accepts can be added to.
#![no_main]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use claude_bottle::manifest::{AgentName, BottleName, Format, Locations, Manifest, NewAgent, NewBottle, add_agent};
use claude_bottle::trust::Trust;
use libfuzzer_sys::fuzz_target;

/// Directories that are not there: a manifest of this target finds no file.
static LOCATIONS: LazyLock<Locations> = LazyLock::new(|| Locations {
    home: PathBuf::from("/nonexistent/claude-bottle-fuzz/home"),
    own: PathBuf::from("/nonexistent/claude-bottle-fuzz/home"),
    cwd: PathBuf::from("/nonexistent/claude-bottle-fuzz/project"),
    above: 0, profiles: Default::default(),
});

static TRUST: LazyLock<Trust> =
    LazyLock::new(|| Trust::open(Path::new("/nonexistent/claude-bottle-fuzz/state")).unwrap());

fuzz_target!(|content: &[u8]| {
    for name in ["claude-bottle.yaml", "claude-bottle.json"] {
        one(&LOCATIONS.home.join(name), content);
    }
});

fn one(path: &Path, content: &[u8]) {
    match Manifest::check_candidate(&LOCATIONS, &TRUST, path, content) {
        Ok(manifest) => accepted(path, content, &manifest),
        Err(errors) => {
            let report = errors.report();
            assert!(!report.is_empty() && errors.problems().len() <= 20);
            assert!(!report.contains(|c: char| c.is_control() && c != '\n'), "{report:?}");
        }
    }
}

/// What was accepted is text, and stays a manifest when an agent is added.
fn accepted(path: &Path, content: &[u8], manifest: &Manifest) {
    let text = std::str::from_utf8(content).unwrap();
    let new = NewAgent {
        name: AgentName::new("fuzz-added").unwrap(),
        bottle: BottleName::new("fuzz-added").unwrap(),
        new_bottle: Some(NewBottle::default()),
        skills: Vec::new(),
        profile: None,
        prompt: "a\n b: c\n".to_owned(),
    };
    // serde_yaml is narrower in places, such as an end marker after the only document; refusing is right then.
    let Ok(added) = add_agent(text, Format::of(path), &new) else { return };
    let again = Manifest::check_candidate(&LOCATIONS, &TRUST, path, added.text.as_bytes())
        .unwrap_or_else(|errors| panic!("{}\n{}", errors.report(), added.text));
    assert_eq!(again.agents().count(), manifest.agents().count() + 1, "{}", added.text);
    assert_eq!(again.agent("fuzz-added").unwrap().agent.prompt, new.prompt);
}
