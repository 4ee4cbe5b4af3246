//! Questions: to be answered by yes or no, by a line of text, or by a secret.

use std::io::{self, BufRead, Write};

use zeroize::Zeroizing;

use super::interrupt::Interrupt;
use super::terminal::{self, Hidden};
use super::{Ui, clean};

/// The answer to a yes-or-no question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// `y` or `yes`.
    Yes,
    /// Anything else.
    No,
}

impl Answer {
    /// Reads an answer: anything but yes is no.
    pub fn of(line: &str) -> Self {
        match line {
            "y" | "Y" | "yes" | "YES" => Self::Yes,
            _ => Self::No,
        }
    }
}

impl Ui {
    /// Asks a yes-or-no question; anything but yes is no, and `None` is an interrupt.
    pub fn ask(&self, question: &str, interrupt: &Interrupt) -> io::Result<Option<Answer>> {
        Ok(self.choose(question, "y/N", interrupt)?.as_deref().map(Answer::of))
    }

    /// Asks a question with these choices; returns the line that was typed, and `None` is an interrupt.
    pub fn choose(&self, question: &str, choices: &str, interrupt: &Interrupt) -> io::Result<Option<String>> {
        let mut stderr = io::stderr().lock();
        write!(stderr, "{question} [{choices}] ")?;
        stderr.flush()?;
        if !interrupt.wait_for_input(io::stdin())? {
            writeln!(stderr)?;
            return Ok(None);
        }
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        Ok(Some(line.trim_end_matches(['\n', '\r']).to_owned()))
    }

    /// Asks for a line of text; an empty one means the default, and `None` is an interrupt or the end of the input.
    pub fn ask_text(
        &self,
        question: &str,
        default: &str,
        interrupt: &Interrupt,
    ) -> io::Result<Option<String>> {
        let mut stderr = io::stderr().lock();
        let shown = if default.is_empty() { String::new() } else { format!(" [{}]", clean(default)) };
        write!(stderr, "{}{shown}: ", clean(question))?;
        stderr.flush()?;
        let mut line = String::new();
        if !interrupt.wait_for_input(io::stdin())? || io::stdin().lock().read_line(&mut line)? == 0 {
            writeln!(stderr)?;
            return Ok(None);
        }
        let answer = line.trim();
        Ok(Some(if answer.is_empty() { default } else { answer }.to_owned()))
    }

    /// Asks for a secret on the terminal, without echo; `None` is an interrupt.
    pub fn ask_secret(
        &self,
        question: &str,
        interrupt: &Interrupt,
    ) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        // Before the question is seen: what is typed right after it must be neither shown nor thrown away.
        let hidden = Hidden::enter()?;
        let mut stderr = io::stderr().lock();
        write!(stderr, "{}: ", clean(question))?;
        stderr.flush()?;
        let answer = if interrupt.wait_for_input(io::stdin())? {
            Some(terminal::read_secret_line(io::stdin())?)
        } else {
            None
        };
        drop(hidden);
        writeln!(stderr)?;
        Ok(answer)
    }
}
