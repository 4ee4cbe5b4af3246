//! What is shown, as screens.

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;

fn model() -> Model {
    let bottle = |name: &str, refused| Bottle {
        id: format!("{name}-id"),
        name: name.to_owned(),
        agent: "fixer".to_owned(),
        state: "running",
        age: "3m 2s".to_owned(),
        used: (refused > 0).then_some(Used { cpu_percent: Some(104.6), memory_bytes: 1_300 << 20 }),
        workspace: "~/work/app".to_owned(),
        requests: 120,
        refused,
    };
    let asked = |bottle: &str, place: &str, reason: &str| Asked {
        run: format!("{bottle}-id"),
        bottle: bottle.to_owned(),
        time: "14:03:12".to_owned(),
        place: place.to_owned(),
        reason: reason.to_owned(),
        until: 160,
        ..Asked::default()
    };
    let mut model = Model::default();
    model.update(
        vec![bottle("claude-bottle-fixer-12", 4), bottle("a-name-that-is-far-too-long-for-it", 0)],
        118,
    );
    model.ask(asked("claude-bottle-fixer-12", "pypi.org:443", "`pypi.org` is not on the allowlist"));
    model.refuse(asked("claude-bottle-fixer-12", "evil.test:443", "`evil.test` is not on the allowlist"));
    model.refuse(asked(
        "claude-bottle-fixer-12",
        "gist.github.com:443",
        "`gist.github.com` is denied by a rule",
    ));
    model
}

fn drawn(model: &Model, has_color: bool) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    terminal.draw(|frame| draw(frame, model, has_color)).unwrap();
    terminal
}

/// Returns the lines of a screen.
fn lines(model: &Model) -> Vec<String> {
    let text = drawn(model, true).backend().to_string();
    text.lines().map(|line| line.trim_matches('"').trim_end().to_owned()).collect()
}

#[test]
fn everything_fits_into_80_columns_and_24_lines() {
    let lines = lines(&model());
    assert_eq!(lines.len(), 24, "{lines:#?}");
    for expected in [
        "  BOTTLE             AGENT    STATE    AGE      CPU MEMORY ASKED REFUSED  DIR",
        "> claude-bottle-fix… fixer    running  3m 2s   105%   1.3G   120       4  ~/work",
        "  a-name-that-is-fa… fixer    running  3m 2s      –      –   120       0  ~/work",
        "WAITING FOR AN ANSWER",
        "   42 s  claude-bottle-fixer-12 pypi.org:443               `pypi.org` is not on",
        "REFUSED",
        "  14:03:12  claude-bottle-f… gist.github.com:443        `gist.github.com` is den",
        "  14:03:12  claude-bottle-f… evil.test:443              `evil.test` is not on th",
        "a allow  d deny  s shell  f diff  x stop  Tab next list  q quit",
    ] {
        assert!(lines.iter().any(|line| line == expected), "{expected}\n{lines:#?}");
    }
}

#[test]
fn nothing_is_a_screen_too() {
    let lines = lines(&Model::default());
    for expected in ["  no bottle is running", "  nothing waits", "  nothing was refused"] {
        assert!(lines.iter().any(|line| line == expected), "{expected}\n{lines:#?}");
    }
    assert_eq!(lines[23], "Tab next list  q quit");
}

#[test]
fn without_colour_there_are_attributes_alone_and_with_it_only_the_terminals_own() {
    let colors = |has_color| {
        let terminal = drawn(&model(), has_color);
        let cells = terminal.backend().buffer().content().to_vec();
        cells
            .into_iter()
            .flat_map(|cell| [cell.fg, cell.bg])
            .filter(|color| *color != Color::Reset)
            .collect::<Vec<_>>()
    };
    assert!(colors(false).is_empty());
    let colors = colors(true);
    assert!(!colors.is_empty());
    assert!(
        colors.iter().all(|color| matches!(color, Color::Red | Color::Yellow | Color::Cyan)),
        "{colors:?}"
    );
}

#[test]
fn a_list_is_scrolled_to_what_is_chosen() {
    let mut model = model();
    for n in 0..40 {
        model.refuse(Asked { place: format!("h{n}.test:443"), ..Asked::default() });
    }
    (model.focus, model.chosen[2]) = (Focus::Refusals, 41);
    let text = drawn(&model, false).backend().to_string();
    assert!(text.contains("> 14:03:12  claude-bottle-f… evil.test:443"), "{text}");
    model.stopping = Some(("id".to_owned(), "the-name".to_owned()));
    let text = drawn(&model, false).backend().to_string();
    assert!(text.contains("stop the-name? y is yes"), "{text}");
}

#[test]
fn memory_has_three_digits_and_what_is_not_known_a_dash() {
    let check = |memory_bytes: u64, expected: &str| {
        assert_eq!(memory(Some(Used { cpu_percent: None, memory_bytes })), expected);
    };
    check(0, "0M");
    check(42 << 20, "42M");
    check(999 << 20, "999M");
    check(1023 << 20, "1.0G");
    check(12_345 << 20, "12G");
    assert_eq!((memory(None), cpu(None)), ("–".to_owned(), "–".to_owned()));
    assert_eq!(cpu(Some(Used::default())), "–");
}

#[test]
fn what_an_agent_says_of_its_question_is_read_whole_and_as_its_words() {
    let mut model = model();
    let why = "to fetch the parser that the issue names, ".repeat(4) + "and no more";
    let (run, place) = ("claude-bottle-fixer-12-id".to_owned(), "pypi.org:443".to_owned());
    model.ask(Asked { run, place, why: Some(why), until: 160, ..Asked::default() });
    let lines = lines(&model);
    assert_eq!(lines.len(), 24);
    assert!(
        lines.iter().any(|line| line.contains("pypi.org:443") && line.contains("\"to fetch")),
        "{lines:#?}"
    );
    let said = lines.join(" ");
    assert!(
        said.contains("asks for pypi.org:443: \"to fetch") && said.contains("and no more\""),
        "{lines:#?}"
    );
}
