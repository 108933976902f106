//! How answers look: colours, where they are wanted, and how wide a line may be.
//!
//! Renderers write text into any [`std::io::Write`] or [`std::fmt::Write`] and know nothing of terminals: the caller tells
//! them by a [`Style`] what there is.
//!
//! What people put into labels, names and messages may steer a terminal, or read as a line of ours: [`visible`] shows such
//! characters instead, and [`Visible`] does so to whole texts.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::io::{self, Write};

use anstyle::AnsiColor;

/// What the place that a text goes to can show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Whether colours and bold letters are wanted. Nothing may be said by colour alone.
    pub colour: bool,
    /// The columns of the terminal; `None` for a file or a pipe, where lines may be of any length.
    pub width: Option<u16>,
}

impl Style {
    /// Text without colours, lines of any length: what tests and files want.
    pub const PLAIN: Self = Self {
        colour: false,
        width: None,
    };

    /// The text in bold letters.
    pub fn bold<T: Display>(self, text: T) -> Styled<T> {
        self.styled(anstyle::Style::new().bold(), text)
    }

    /// The text in the letters of what is beside the point.
    pub fn dim<T: Display>(self, text: T) -> Styled<T> {
        self.styled(anstyle::Style::new().dimmed(), text)
    }

    /// The text in the colour of what is allowed, or well.
    pub fn green<T: Display>(self, text: T) -> Styled<T> {
        self.coloured(AnsiColor::Green, text)
    }

    /// The text in the colour of what is denied, or wrong.
    pub fn red<T: Display>(self, text: T) -> Styled<T> {
        self.coloured(AnsiColor::Red, text)
    }

    /// The text in the colour of warnings.
    pub fn yellow<T: Display>(self, text: T) -> Styled<T> {
        self.coloured(AnsiColor::Yellow, text)
    }

    /// The text in the colour of names and hints.
    pub fn cyan<T: Display>(self, text: T) -> Styled<T> {
        self.coloured(AnsiColor::Cyan, text)
    }

    fn coloured<T: Display>(self, colour: AnsiColor, text: T) -> Styled<T> {
        self.styled(anstyle::Style::new().fg_color(Some(colour.into())), text)
    }

    fn styled<T: Display>(self, style: anstyle::Style, text: T) -> Styled<T> {
        let style = if self.colour { style } else { anstyle::Style::new() };
        Styled { style, text }
    }
}

/// A text and how it looks. Width and alignment of a format (`{:<8}`) apply to the text alone.
#[derive(Clone, Copy, Debug)]
pub struct Styled<T> {
    style: anstyle::Style,
    text: T,
}

impl<T: Display> Display for Styled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.style)?;
        self.text.fmt(f)?;
        write!(f, "{:#}", self.style)
    }
}

/// The sequences that a [`Style`] writes.
const OWN: [&str; 7] = [
    "\u{1b}[0m",
    "\u{1b}[1m",
    "\u{1b}[2m",
    "\u{1b}[31m",
    "\u{1b}[32m",
    "\u{1b}[33m",
    "\u{1b}[36m",
];

/// Somebody's text as one line that steers no terminal: control characters, and those that are not seen or turn the direction
/// of others, as `\n` and `\u{1b}`.
pub fn visible(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) || !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        show(letter, &mut shown);
    }
    Cow::Owned(shown)
}

fn show(letter: char, to: &mut String) {
    if is_hidden(letter) {
        to.extend(letter.escape_default());
    } else {
        to.push(letter);
    }
}

fn is_hidden(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
        )
}

/// Where a text of ours goes that people read: everything in it is [visible], but the ends of its lines and its colours.
pub struct Visible<'a> {
    to: &'a mut dyn Write,
    colour: bool,
}

impl<'a> Visible<'a> {
    /// Writes to `to`, what `style` has colours for in these.
    pub fn new(to: &'a mut dyn Write, style: Style) -> Self {
        Self {
            to,
            colour: style.colour,
        }
    }

    fn shown<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if !text.contains(|letter: char| letter != '\n' && is_hidden(letter)) {
            return Cow::Borrowed(text);
        }
        let mut shown = String::with_capacity(text.len() + 8);
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            let own = OWN.iter().find(|own| self.colour && rest.starts_with(**own));
            let length = match own {
                Some(own) => {
                    shown.push_str(own);
                    own.len()
                }
                None if letter == '\n' => {
                    shown.push(letter);
                    1
                }
                None => {
                    show(letter, &mut shown);
                    letter.len_utf8()
                }
            };
            rest = rest.get(length..).unwrap_or_default();
        }
        Cow::Owned(shown)
    }
}

impl Write for Visible<'_> {
    /// Takes whole letters and whole sequences, as formatting writes them.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        self.to.write_all(self.shown(&text).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colour_a_text_is_itself() {
        assert_eq!(Style::PLAIN.red("denied").to_string(), "denied");
        assert_eq!(format!("{:<8}|", Style::PLAIN.bold("a")), "a       |");
    }

    #[test]
    fn with_colour_a_text_is_between_escapes_and_keeps_its_width() {
        let style = Style {
            colour: true,
            width: None,
        };
        assert_eq!(format!("{:<4}|", style.green("ok")), "\u{1b}[32mok  \u{1b}[0m|");
    }

    #[test]
    fn what_steers_a_terminal_is_shown() {
        for (text, shown) in [
            ("web", "web"),
            ("größe → 10", "größe → 10"),
            ("a\u{1b}[31mb", "a\\u{1b}[31mb"),
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("a\u{202e}b", "a\\u{202e}b"),
            ("a\u{9b}2Jb\u{7f}", "a\\u{9b}2Jb\\u{7f}"),
        ] {
            assert_eq!(visible(text), shown);
        }
    }

    fn written(style: Style, text: &str) -> String {
        let mut output = Vec::new();
        write!(Visible::new(&mut output, style), "{text}").unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn a_text_keeps_its_lines_and_its_own_colours() {
        let style = Style {
            colour: true,
            width: None,
        };
        let own = [
            style.bold("a").to_string(),
            style.dim("a").to_string(),
            style.green("a").to_string(),
            style.red("a").to_string(),
            style.yellow("a").to_string(),
            style.cyan("a").to_string(),
        ]
        .join("\n");
        assert_eq!(written(style, &own), own);
        assert!(!written(Style::PLAIN, &own).contains('\u{1b}'));
        let foreign = "a\u{1b}[8mb\u{1b}]0;c\u{7}";
        assert_eq!(written(style, foreign), "a\\u{1b}[8mb\\u{1b}]0;c\\u{7}");
    }
}
