//! How answers look: colours, where they are wanted, and how wide a line may be.
//!
//! Renderers write text into any [`std::io::Write`] or [`std::fmt::Write`] and know nothing of terminals: the caller tells
//! them by a [`Style`] what there is.

use std::fmt::{self, Display};

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
}
