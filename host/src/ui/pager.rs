//! Long text on a terminal: through the user's pager, as git does.

use std::io::{self, Write};
use std::process::{Child, Command, Stdio};

use super::Ui;
use crate::ui::output;

/// What `less` is told unless the user told it something: colours as they are, and no page of its own for what fits.
const LESS: &str = "FRX";

/// Where long text goes.
pub enum Pager<'a> {
    /// To the pager.
    Program(Child),
    /// To standard output itself.
    Direct(&'a Ui),
}

impl<'a> Pager<'a> {
    /// Starts the pager if standard output is a terminal and there is one.
    pub fn start(ui: &'a Ui, chosen: Option<std::ffi::OsString>) -> Self {
        let chosen = chosen.unwrap_or_else(|| "less".into());
        if !ui.stdout_terminal || chosen.is_empty() || chosen == "cat" {
            return Self::Direct(ui);
        }
        let start = || -> io::Result<Child> {
            let mut shell = Command::new("/bin/sh");
            shell.arg("-c").arg(chosen).stdin(Stdio::piped());
            shell.stdout(output::stdout().try_clone_to_owned()?);
            if std::env::var_os("LESS").is_none() {
                shell.env("LESS", LESS);
            }
            shell.spawn()
        };
        start().map_or(Self::Direct(ui), Self::Program)
    }

    /// Shows text; `false` when the reader has seen enough.
    pub fn show(&mut self, text: &str) -> bool {
        match self {
            Self::Direct(ui) => {
                ui.data(text);
                ui.can_write()
            }
            Self::Program(pager) => {
                pager.stdin.as_mut().is_some_and(|stdin| stdin.write_all(text.as_bytes()).is_ok())
            }
        }
    }

    /// Waits until the user has read.
    pub fn end(self) -> io::Result<()> {
        if let Self::Program(mut pager) = self {
            drop(pager.stdin.take());
            pager.wait()?;
        }
        Ok(())
    }
}
