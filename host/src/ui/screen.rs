//! A full-screen view on the user's terminal: entered, lent to another program, and left as it was found, however the program ends.

use std::io::{self, BufWriter};
use std::sync::Once;

use crossterm::cursor::Hide;
use crossterm::execute;
use crossterm::terminal::{Clear, ClearType, EnterAlternateScreen, size};
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Frame, Terminal, TerminalOptions, Viewport};

use super::output::Stdout;
use super::terminal::{self, Raw};

/// The whole terminal. As it was found when dropped.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
    /// Columns and rows.
    size: (u16, u16),
    raw: Option<Raw>,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// Fails where there is none.
    pub fn enter() -> io::Result<Self> {
        leave_before_a_panic_is_told();
        let raw = Some(Raw::enter_full_screen()?);
        let size = size()?;
        let mut screen = Self { terminal: blank(size)?, size, raw };
        screen.begin(size)?;
        Ok(screen)
    }

    /// Begins with an empty screen of this size. The terminal is asked nothing: not every one answers.
    fn begin(&mut self, size: (u16, u16)) -> io::Result<()> {
        (self.terminal, self.size) = (blank(size)?, size);
        execute!(self.terminal.backend_mut(), EnterAlternateScreen, Clear(ClearType::All), Hide)
    }

    /// Draws all of it.
    ///
    /// # Errors
    /// Fails when the terminal is gone.
    pub fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        let size = size()?;
        if size != self.size {
            self.begin(size)?;
        }
        self.terminal.draw(draw).map(drop)
    }

    /// Runs something with the terminal as it was found, and takes it again.
    ///
    /// # Errors
    /// Fails when the terminal is gone.
    pub fn lend<T>(&mut self, use_it: impl FnOnce() -> T) -> io::Result<T> {
        self.raw.take();
        let value = use_it();
        self.raw = Some(Raw::enter_full_screen()?);
        self.begin(size()?)?;
        Ok(value)
    }
}

fn blank((columns, rows): (u16, u16)) -> io::Result<Terminal<CrosstermBackend<BufWriter<Stdout>>>> {
    let viewport = Viewport::Fixed(Rect::new(0, 0, columns, rows));
    let backend = CrosstermBackend::new(BufWriter::new(Stdout));
    Terminal::with_options(backend, TerminalOptions { viewport })
}

/// Lets the report of a panic be read where the user is, and not on a screen that goes away.
fn leave_before_a_panic_is_told() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let tell = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            terminal::restore();
            tell(panic);
        }));
    });
}
