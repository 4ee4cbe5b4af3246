//! What README and docs tell users to type: the program takes each command, and README's manifest works as it stands.

use std::fs;

use crate::support::{Home, assert_code, root, stderr};

/// Returns the commands in a page: lines of code that begin with the program's name.
fn commands(page: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"));
    let mut found = Vec::new();
    let mut is_fenced = false;
    for line in text.lines() {
        is_fenced ^= line.starts_with("```");
        let code = if is_fenced { Some(line) } else { line.strip_prefix("    ") };
        let code = code.map(|code| code.trim_start_matches("$ "));
        // In a reference a synopsis has brackets; it is not to be typed.
        found.extend(
            code.filter(|code| code.starts_with("claude-bottle ") && !code.contains(['[', '…', '─'])),
        );
    }
    found.into_iter().map(words).collect()
}

/// Splits a command as a shell does, up to a comment or another command.
fn words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let (mut word, mut quote): (Option<String>, Option<char>) = (None, None);
    for c in line.chars() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            ('#' | '|' | '>' | '&' | ';' | '<', None) if word.is_none() => break,
            (' ', None) => words.extend(word.take()),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[test]
fn every_command_is_one_that_the_program_takes() {
    let mut count = 0;
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().file_name());
    let docs = docs.filter_map(|name| name.into_string().ok()).filter(|name| name.ends_with(".md"));
    for page in docs.map(|name| format!("docs/{name}")).chain(["README.md".to_owned()]) {
        for command in commands(&page) {
            let parsed = claude_bottle::definition().try_get_matches_from(&command);
            assert!(parsed.is_ok(), "{page}: {command:?}: {}", parsed.unwrap_err());
            count += 1;
        }
    }
    assert!(count >= 15, "only {count} commands were found");
}

/// Who pastes the manifest has neither skills nor variables.
#[test]
fn the_manifest_of_the_readme_works_with_the_commands_below_it() {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    let manifest = text.split_once("```yaml\n").unwrap().1.split_once("```").unwrap().0;
    let home = Home::with(manifest);
    assert_code(&home.call(&["info", "fixer"]), 0);
    // The backend of these tests offers neither limits nor a copy of the working directory.
    let offered: Vec<_> = manifest.lines().filter(|line| !line.contains("limits:")).collect();
    let plain = Home::with(&offered.join("\n"));
    let mut tried = 0;
    for mut command in
        commands("README.md").into_iter().filter(|command| !command.contains(&"demo".to_owned()))
    {
        command.remove(0);
        let code = match command[0].as_str() {
            // The real agent is not here; what would be made for it is all the same.
            "start" => {
                command.push("--dry-run".to_owned());
                command.retain(|word| word != "--cwd");
                0
            }
            "policy" if command[1] == "check" => 1,
            "list" | "cleanup" | "doctor" => 0,
            // They are about a bottle that runs, or ran.
            _ => continue,
        };
        let words: Vec<_> = command.iter().map(String::as_str).collect();
        let home = if matches!(words[0], "start" | "doctor") { &plain } else { &home };
        let output = home.call(&words);
        assert_code(&output, code);
        assert!(!stderr(&output).contains("error:"), "{command:?}: {}", stderr(&output));
        tried += 1;
    }
    assert!(tried >= 5, "only {tried} commands were tried");
}
