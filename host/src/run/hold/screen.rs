//! A model of what a terminal shows, from which a client that attaches gets its picture.

use std::num::NonZeroU16;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Size;

/// How many changes of the keyboard's protocol are remembered: programs that do not undo theirs add up.
const MOST_PUSHED: usize = 16;

/// The screen of a held session.
pub(super) struct Screen {
    parser: vt100::Parser<Modes>,
}

/// What a terminal has switched on that is not part of its picture.
#[derive(Default)]
struct Modes {
    /// Flags of the keyboard's protocol, as they were pushed: <https://sw.kovidgoyal.net/kitty/keyboard-protocol/>.
    keyboard: Vec<u16>,
    focus: bool,
    title: Vec<u8>,
    bell: bool,
}

impl vt100::Callbacks for Modes {
    fn audible_bell(&mut self, _: &mut vt100::Screen) {
        self.bell = true;
    }

    fn set_window_title(&mut self, _: &mut vt100::Screen, title: &[u8]) {
        self.title = title.to_vec();
    }

    fn unhandled_csi(
        &mut self,
        _: &mut vt100::Screen,
        first: Option<u8>,
        _: Option<u8>,
        parameters: &[&[u16]],
        last: char,
    ) {
        let parameter = parameters.first().and_then(|values| values.first()).copied().unwrap_or_default();
        match (first, last) {
            (Some(b'>'), 'u') if self.keyboard.len() < MOST_PUSHED => self.keyboard.push(parameter),
            (Some(b'<'), 'u') => {
                let left = self.keyboard.len().saturating_sub(usize::from(parameter.max(1)));
                self.keyboard.truncate(left);
            }
            (Some(b'?'), 'h' | 'l') if parameter == 1004 => self.focus = last == 'h',
            _ => {}
        }
    }
}

impl Screen {
    pub(super) fn new(size: Size) -> Self {
        let (rows, columns) = nonzero(size);
        Self { parser: vt100::Parser::new_with_callbacks(rows, columns, 0, Modes::default()) }
    }

    /// Takes what the program wrote; returns `true` if it rang the bell.
    pub(super) fn draw(&mut self, bytes: &[u8]) -> bool {
        self.guarded(|parser| parser.process(bytes));
        std::mem::take(&mut self.parser.callbacks_mut().bell)
    }

    pub(super) fn resize(&mut self, size: Size) {
        let (rows, columns) = nonzero(size);
        self.guarded(|parser| parser.screen_mut().set_size(rows, columns));
    }

    /// Returns what makes an empty terminal show the same.
    pub(super) fn picture(&self) -> Vec<u8> {
        let (screen, modes) = (self.parser.screen(), self.parser.callbacks());
        let mut picture = Vec::new();
        if screen.alternate_screen() {
            picture.extend_from_slice(b"\x1b[?1049h");
        }
        picture.extend_from_slice(screen.state_formatted().as_bytes());
        if !modes.title.is_empty() {
            picture.extend_from_slice(b"\x1b]2;");
            picture.extend(modes.title.iter().filter(|byte| !byte.is_ascii_control()));
            picture.push(7);
        }
        if modes.focus {
            picture.extend_from_slice(b"\x1b[?1004h");
        }
        for flags in &modes.keyboard {
            picture.extend_from_slice(format!("\x1b[>{flags}u").as_bytes());
        }
        picture
    }

    /// Returns what it shows as text, without the empty lines at its end.
    pub(super) fn text(&self) -> String {
        self.parser.screen().contents().trim_end().to_owned()
    }

    /// A fault of the model, which reads what an agent writes, costs the picture and not the session.
    fn guarded(&mut self, change: impl FnOnce(&mut vt100::Parser<Modes>)) {
        let parser = &mut self.parser;
        if catch_unwind(AssertUnwindSafe(|| change(parser))).is_err() {
            let (rows, columns) = self.parser.screen().size();
            *self = Self::new(Size { rows: rows.get(), columns: columns.get() });
        }
    }
}

fn nonzero(size: Size) -> (NonZeroU16, NonZeroU16) {
    let Size { rows, columns } = size.bounded();
    let nonzero = |value| NonZeroU16::new(value).unwrap_or(NonZeroU16::MIN);
    (nonzero(rows), nonzero(columns))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { rows: 10, columns: 40 };

    /// Draws the picture of one screen on another.
    fn again(screen: &Screen) -> Screen {
        let mut again = Screen::new(SIZE);
        again.draw(&screen.picture());
        again
    }

    #[test]
    fn a_picture_shows_the_same_with_the_same_modes() {
        let mut screen = Screen::new(SIZE);
        let drawn = "\x1b[?1049h\x1b[?2004h\x1b[?1002h\x1b[?1006h\x1b[?1004h\x1b[>1u\x1b]2;a title\x07\
                     \x1b[2J\x1b[3;4H\x1b[1;31mred 日本\x1b[0m\x1b[?25l";
        screen.draw(drawn.as_bytes());
        let again = again(&screen);
        assert_eq!(again.picture(), screen.picture());
        let seen = again.parser.screen();
        assert!(seen.alternate_screen() && seen.bracketed_paste() && seen.hide_cursor());
        assert_eq!(seen.mouse_protocol_mode(), vt100::MouseProtocolMode::ButtonMotion);
        assert_eq!(seen.contents(), screen.parser.screen().contents());
        let modes = again.parser.callbacks();
        assert_eq!(
            (modes.keyboard.as_slice(), modes.focus, modes.title.as_slice()),
            (&[1][..], true, &b"a title"[..])
        );
        assert_eq!(again.text(), "\n\n   red 日本");
    }

    #[test]
    fn what_was_switched_off_stays_off_and_nothing_grows_without_bounds() {
        let mut screen = Screen::new(SIZE);
        screen.draw(b"\x1b[>1u\x1b[>3u\x1b[<u\x1b[?1004h\x1b[?1004l");
        assert_eq!(screen.parser.callbacks().keyboard, [1]);
        assert!(!screen.parser.callbacks().focus);
        for _ in 0..100 {
            screen.draw(b"\x1b[>1u");
        }
        assert_eq!(screen.parser.callbacks().keyboard.len(), MOST_PUSHED);
        screen.draw(b"\x1b[<200u");
        assert!(screen.parser.callbacks().keyboard.is_empty());
    }

    #[test]
    fn a_bell_is_told_once() {
        let mut screen = Screen::new(SIZE);
        assert!(screen.draw(b"a\x07b"));
        assert!(!screen.draw(b"c"));
    }

    #[test]
    fn every_size_can_be_drawn_on() {
        let mut screen = Screen::new(Size { rows: 0, columns: 0 });
        for size in [(1, 1), (1000, 1000), (2, 1), (0, 0)] {
            screen.resize(Size { rows: size.0, columns: size.1 });
            screen.draw("日本\x1b[999;999H日本\x1b[10L\x1b[10P\r\n\n\n".as_bytes());
        }
    }
}
