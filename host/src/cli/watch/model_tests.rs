//! What keys do to what is shown.

use super::*;

fn bottle(id: &str) -> Bottle {
    Bottle { id: id.to_owned(), name: format!("the-{id}"), ..Bottle::default() }
}

fn asked(run: &str, host: &str) -> Asked {
    let (run, place, rule) = (run.to_owned(), format!("{host}:443"), Some(host.to_owned()));
    Asked { run, place, rule, until: 60, ..Asked::default() }
}

fn press(model: &mut Model, key: char) -> Action {
    model.press(KeyEvent::from(KeyCode::Char(key)))
}

fn command(words: &[&str]) -> Action {
    Action::Command(words.iter().map(|word| (*word).to_owned()).collect())
}

fn model() -> Model {
    let mut model = Model::default();
    model.update(vec![bottle("one"), bottle("two")], 10);
    model.ask(asked("two", "a.test"));
    model.ask(asked("one", "b.test"));
    model.refuse(asked("one", "c.test"));
    model
}

#[test]
fn an_answer_is_for_the_question_that_is_chosen_and_else_for_the_one_that_waits_longest() {
    let mut model = model();
    assert_eq!(press(&mut model, 'a'), command(&["policy", "allow", "two", "a.test"]));
    model.press(KeyEvent::from(KeyCode::Tab));
    press(&mut model, 'j');
    assert_eq!(press(&mut model, 'd'), command(&["policy", "deny", "one", "b.test"]));
    model.press(KeyEvent::from(KeyCode::Tab));
    assert_eq!(press(&mut model, 'a'), command(&["policy", "allow", "one", "c.test"]));
    // What comes meanwhile does not change what is chosen.
    model.refuse(asked("one", "d.test"));
    assert_eq!(press(&mut model, 'a'), command(&["policy", "allow", "one", "c.test"]));
}

#[test]
fn a_question_is_there_once_until_it_is_answered_or_its_time_is_over() {
    let mut model = model();
    model.ask(asked("two", "a.test"));
    assert_eq!(model.questions.len(), 2);
    model.answered("two", "a.test:443");
    assert_eq!(model.questions, [asked("one", "b.test")]);
    model.update(vec![bottle("one")], 59);
    assert_eq!(model.questions.len(), 1);
    model.update(vec![bottle("one")], 60);
    assert!(model.questions.is_empty());
    assert_eq!(press(&mut Model::default(), 'a'), Action::Nothing);
}

#[test]
fn a_bottle_is_stopped_only_when_that_is_agreed_to() {
    let mut model = model();
    press(&mut model, 'j');
    assert_eq!(press(&mut model, 'x'), Action::Nothing);
    assert_eq!(model.stopping, Some(("two".to_owned(), "the-two".to_owned())));
    assert_eq!(press(&mut model, 'q'), Action::Nothing, "any other key is no");
    assert_eq!(model.stopping, None);
    press(&mut model, 'x');
    assert_eq!(press(&mut model, 'y'), command(&["stop", "two"]));
}

#[test]
fn the_bottle_that_is_chosen_stays_chosen_while_others_come_and_go() {
    let mut model = model();
    press(&mut model, 'j');
    model.update(vec![bottle("new"), bottle("one"), bottle("two")], 10);
    let shell = ["exec", "two", "--", "sh"].map(str::to_owned).to_vec();
    assert_eq!(press(&mut model, 's'), Action::Foreground(shell));
    model.update(vec![bottle("one")], 10);
    assert_eq!(press(&mut model, 'f'), Action::Foreground(["diff", "one"].map(str::to_owned).to_vec()));
    model.update(Vec::new(), 10);
    assert_eq!(press(&mut model, 's'), Action::Nothing);
}
