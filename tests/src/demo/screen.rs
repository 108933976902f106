//! What is written to the terminal: colours where they can be seen, and no line wider than a page.

use std::io::{self, IsTerminal, Write};

/// The widest line.
pub(super) const WIDTH: usize = 110;
/// Everything but headings is set in by this much.
const INDENT: &str = "  ";

/// Around a pair of marks that is not as expected.
pub(super) const LOUD: [char; 2] = ['▶', '◀'];
/// A probe that passes.
pub(super) const PASSES: char = '✔';
/// A probe that is dropped.
pub(super) const DROPPED: char = '✘';

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    Heading,
    Faint,
    Good,
    Bad,
    Loud,
}

impl Ink {
    fn code(self) -> &'static str {
        match self {
            Self::Heading => "\x1b[1m",
            Self::Faint => "\x1b[2m",
            Self::Good => "\x1b[32m",
            Self::Bad => "\x1b[31m",
            Self::Loud => "\x1b[1;97;41m",
        }
    }
}

const PLAIN: &str = "\x1b[0m";

/// Where the demo writes.
pub struct Screen {
    out: Box<dyn Write + Send>,
    colours: bool,
}

impl Screen {
    /// The standard output, with colours if it is a terminal and `NO_COLOR` does not forbid them.
    pub fn stdout() -> Self {
        let out = io::stdout();
        let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            colours: out.is_terminal() && !forbidden,
            out: Box::new(out),
        }
    }

    /// A piece of text in an ink.
    pub(super) fn ink(&self, ink: Ink, text: &str) -> String {
        if self.colours && !text.is_empty() {
            format!("{}{text}{PLAIN}", ink.code())
        } else {
            text.to_owned()
        }
    }

    /// An empty line.
    pub(super) fn gap(&mut self) -> io::Result<()> {
        writeln!(self.out)
    }

    /// A line as it is, set in.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{}", format!("{INDENT}{text}").trim_end())
    }

    /// Running text, wrapped between words; further lines are set in by `hang` more. Spaces at its start are kept.
    pub(super) fn text(&mut self, ink: Option<Ink>, text: &str, hang: usize) -> io::Result<()> {
        for line in wrap(text, WIDTH - INDENT.len(), hang) {
            let line = ink.map_or_else(|| line.clone(), |ink| self.ink(ink, &line));
            self.line(&line)?;
        }
        Ok(())
    }

    /// A heading over the whole width, with a remark at its right end.
    pub(super) fn heading(&mut self, text: &str, remark: &str) -> io::Result<()> {
        let remark = if remark.is_empty() {
            String::new()
        } else {
            format!(" {remark}")
        };
        let taken = text.chars().count() + 1 + remark.chars().count();
        let line = format!("{}{remark}", "─".repeat(WIDTH.saturating_sub(taken)));
        let (text, line) = (self.ink(Ink::Heading, text), self.ink(Ink::Faint, &line));
        writeln!(self.out, "{text} {line}")
    }

    /// A line with marks, each in its colour.
    pub(super) fn marks(&mut self, text: &str) -> io::Result<()> {
        let [open, close] = LOUD;
        let mut loud = false;
        let mut line = String::new();
        for mark in text.chars() {
            loud |= mark == open;
            let ink = match mark {
                _ if loud => Some(Ink::Loud),
                PASSES => Some(Ink::Good),
                DROPPED => Some(Ink::Bad),
                '│' | '─' | '┼' => Some(Ink::Faint),
                _ => None,
            };
            loud &= mark != close;
            let mark = mark.to_string();
            line.push_str(&ink.map_or(mark.clone(), |ink| self.ink(ink, &mark)));
        }
        self.line(&line)
    }

    /// Brings everything to the terminal.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Lines of at most `width` characters, broken between words. A word that is too long has a line of its own.
fn wrap(text: &str, width: usize, hang: usize) -> Vec<String> {
    let start = text.len() - text.trim_start().len();
    let margin = " ".repeat(start + hang);
    let mut lines = Vec::new();
    let mut line = " ".repeat(start);
    let mut fresh = true;
    for word in text.split_whitespace() {
        if !fresh && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::replace(&mut line, margin.clone()));
            fresh = true;
        }
        if !fresh {
            line.push(' ');
        }
        line.push_str(word);
        fresh = false;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_between_words_and_hangs() {
        assert_eq!(wrap(" one two three", 9, 2), [" one two", "   three"]);
    }

    #[test]
    fn a_word_that_fits_nowhere_is_not_lost() {
        assert_eq!(wrap("a longerthanall b", 5, 0), ["a", "longerthanall", "b"]);
    }
}
