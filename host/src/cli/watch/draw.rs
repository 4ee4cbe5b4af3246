//! Draws what `watch` shows. Only attributes and the terminal's own colours are used, so that it is read in a light and a dark one.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Paragraph, Wrap};

use super::model::{Asked, Bottle, Focus, Model};
use super::usage::Used;

/// The most lines that bottles and questions take; the rest is for refusals.
const MOST_BOTTLES: usize = 8;
const MOST_QUESTIONS: usize = 6;

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, has_color: bool) {
    let look = Look { has_color };
    let lines = |count: usize, most: usize| u16::try_from(count.clamp(1, most)).unwrap_or(1);
    let parts = [
        Constraint::Length(lines(model.bottles.len(), MOST_BOTTLES) + 1),
        Constraint::Length(1),
        Constraint::Length(lines(model.questions.len(), MOST_QUESTIONS) + 1),
        Constraint::Length(1),
        Constraint::Min(2),
        Constraint::Length(note_lines(model)),
        Constraint::Length(1),
    ];
    let [bottles, _, questions, _, refusals, note, keys] = Layout::vertical(parts).areas(frame.area());
    let rows: Vec<_> = model.bottles.iter().map(|bottle| look.bottle(bottle)).collect();
    list(
        frame,
        bottles,
        look.head(&bottle_head(), false),
        (rows, "no bottle is running"),
        (model, Focus::Bottles),
    );
    let rows: Vec<_> = model.questions.iter().map(|question| look.question(question, model.now)).collect();
    let head = look.head("WAITING FOR AN ANSWER", !model.questions.is_empty());
    list(frame, questions, head, (rows, "nothing waits"), (model, Focus::Questions));
    let rows: Vec<_> = model.refusals.iter().map(refusal).collect();
    list(
        frame,
        refusals,
        look.head("REFUSED", false),
        (rows, "nothing was refused"),
        (model, Focus::Refusals),
    );
    frame.render_widget(Paragraph::new(note_line(model)).wrap(Wrap { trim: true }), note);
    frame.render_widget(Paragraph::new(look.keys(model)), keys);
}

/// Draws a list under its head, scrolled so that the chosen line is seen.
fn list(
    frame: &mut Frame<'_>,
    area: Rect,
    head: Line<'static>,
    (rows, nothing): (Vec<Line<'static>>, &'static str),
    (model, focus): (&Model, Focus),
) {
    let height = usize::from(area.height.saturating_sub(1)).max(1);
    let chosen = model.chosen[focus as usize];
    let first = (chosen + 1).saturating_sub(height);
    let is_focused = model.focus == focus && !rows.is_empty();
    let mut lines = vec![head];
    if rows.is_empty() {
        lines.push(Line::styled(format!("  {nothing}"), Style::new().add_modifier(Modifier::DIM)));
    }
    for (at, row) in rows.into_iter().enumerate().skip(first).take(height) {
        let is_chosen = at == chosen && is_focused;
        let mark = Span::raw(if is_chosen { "> " } else { "  " });
        let mut line = Line::from_iter(std::iter::once(mark).chain(row.spans));
        if is_chosen {
            line = line.style(Style::new().add_modifier(Modifier::REVERSED));
        }
        lines.push(line);
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn bottle_head() -> String {
    format!(
        "  {:<18} {:<8} {:<8} {:<7} {:>4} {:>6} {:>5} {:>7}  {}",
        "BOTTLE", "AGENT", "STATE", "AGE", "CPU", "MEMORY", "ASKED", "REFUSED", "DIR"
    )
}

/// How many lines the note takes: what an agent says of a question is read whole.
fn note_lines(model: &Model) -> u16 {
    if model.stopping.is_none() && model.said().is_some() { 4 } else { 1 }
}

/// Returns what a command said, what the agent says of a question, or the question whether a bottle is to be stopped.
fn note_line(model: &Model) -> Text<'static> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    if let Some((_, name)) = &model.stopping {
        return Text::styled(format!("stop {name}? y is yes, any other key is no"), bold);
    }
    match model.said() {
        None => Text::raw(model.note.clone()),
        Some((question, why)) => {
            let said = format!("{} asks for {}: \"{why}\"", question.bottle, question.place);
            Text::from_iter([said, model.note.clone()])
        }
    }
}

/// What things look like.
struct Look {
    has_color: bool,
}

impl Look {
    fn colored(&self, color: Color) -> Style {
        if self.has_color { Style::new().fg(color) } else { Style::new() }
    }

    fn head(&self, text: &str, is_urgent: bool) -> Line<'static> {
        let style = if is_urgent { self.colored(Color::Yellow) } else { Style::new() };
        Line::styled(text.to_owned(), style.add_modifier(Modifier::BOLD))
    }

    fn bottle(&self, bottle: &Bottle) -> Line<'static> {
        let Bottle { name, agent, state, age, used, workspace, requests, refused, .. } = bottle;
        let (cpu, memory) = (cpu(*used), memory(*used));
        let before = format!(
            "{} {} {state:<8} {age:<7} {cpu:>4} {memory:>6} {requests:>5} ",
            cell(name, 18),
            cell(agent, 8)
        );
        let style = if *refused > 0 { self.colored(Color::Red) } else { Style::new() };
        Line::from(vec![
            Span::raw(before),
            Span::styled(format!("{refused:>7}"), style),
            Span::raw(format!("  {workspace}")),
        ])
    }

    fn question(&self, question: &Asked, now: u64) -> Line<'static> {
        let left = format!("{:>3} s", question.until.saturating_sub(now));
        Line::from(vec![
            Span::styled(left, self.colored(Color::Yellow)),
            Span::raw(format!(
                "  {} {} {}",
                cell(&question.bottle, 22),
                cell(&question.place, 26),
                question.said()
            )),
        ])
    }

    fn keys(&self, model: &Model) -> Line<'static> {
        let all = "a allow  d deny  s shell  f diff  x stop  Tab next list  q quit";
        let few = "Tab next list  q quit";
        let text = if model.bottles.is_empty() { few } else { all };
        Line::styled(text, self.colored(Color::Cyan).add_modifier(Modifier::DIM))
    }
}

/// Returns how much of a processor is taken; a dash stands for what is not known.
fn cpu(used: Option<Used>) -> String {
    let percent = used.and_then(|used| used.cpu_percent);
    percent.map_or_else(|| "–".to_owned(), |percent| format!("{percent:.0}%"))
}

/// Returns how much memory is taken, in three digits at most and a unit.
#[expect(clippy::cast_precision_loss, reason = "it is rounded to three digits")]
fn memory(used: Option<Used>) -> String {
    let Some(Used { memory_bytes, .. }) = used else { return "–".to_owned() };
    let mebibytes = memory_bytes as f64 / f64::from(1 << 20);
    match mebibytes {
        0.0..999.5 => format!("{mebibytes:.0}M"),
        _ if mebibytes < 9.95 * 1024.0 => format!("{:.1}G", mebibytes / 1024.0),
        _ => format!("{:.0}G", mebibytes / 1024.0),
    }
}

fn refusal(refusal: &Asked) -> Line<'static> {
    let Asked { time, bottle, place, reason, .. } = refusal;
    Line::raw(format!("{time:<8}  {} {} {reason}", cell(bottle, 16), cell(place, 26)))
}

/// Returns a text as wide as its column.
fn cell(text: &str, width: usize) -> String {
    let shown: String = match text.chars().count() > width {
        true => text.chars().take(width - 1).chain(['…']).collect(),
        false => text.to_owned(),
    };
    format!("{shown:<width$}")
}

#[cfg(test)]
#[path = "draw_tests.rs"]
mod tests;
