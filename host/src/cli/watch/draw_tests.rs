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
        "> claude-bottle-fixer-12 fixer      running  3m 2s      120       4  ~/work/app",
        "  a-name-that-is-far-to… fixer      running  3m 2s      120       0  ~/work/app",
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
