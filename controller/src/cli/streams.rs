//! Where commands read and write, and what can be shown there.

use std::env;
use std::io::{self, BufWriter, IsTerminal, Read, Write};

use palisade_audit::style::{Style, Visible, visible};

/// The standard streams, or what stands for them in a test.
pub struct Streams<'a> {
    /// What `-` reads.
    pub input: &'a mut dyn Read,
    /// Where answers go.
    pub output: &'a mut dyn Write,
    /// Where everything else goes.
    pub errors: &'a mut dyn Write,
    /// What the output can show. `policy-audit --color` may change it.
    pub style: Style,
    /// Whether somebody watches the error output: long work tells there how far it is.
    pub watched: bool,
}

impl Streams<'_> {
    /// The output for what people read: what others put into names and messages steers no terminal there.
    pub(crate) fn text(&mut self) -> Visible<'_> {
        Visible::new(self.output, self.style)
    }

    /// The same streams with error output of which that is true too.
    pub(super) fn with_visible_errors<T>(&mut self, run: impl FnOnce(&mut Streams<'_>) -> T) -> T {
        let mut errors = Visible::new(self.errors, Style::PLAIN);
        run(&mut Streams {
            input: self.input,
            output: self.output,
            errors: &mut errors,
            style: self.style,
            watched: self.watched,
        })
    }
}

/// Shows how far long work is, in one line in the place of the last one; no words clear it. For those who watch
/// ([`Streams::watched`]): the error output is a terminal then, and this process's own.
pub(crate) fn show_progress(words: &str) -> io::Result<()> {
    let mut terminal = io::stderr();
    // Back to the beginning of the line, and clear it.
    write!(terminal, "\r\x1b[K{}", visible(words))?;
    terminal.flush()
}

/// Lends this process's own streams. The output is buffered, and written out before this returns.
pub(super) fn with_standard<T>(run: impl FnOnce(&mut Streams<'_>) -> io::Result<T>) -> io::Result<T> {
    let mut output = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let mut errors = io::stderr();
    let outcome = run(&mut Streams {
        input: &mut io::stdin(),
        output: &mut output,
        errors: &mut errors,
        style: style_of_terminal(),
        watched: io::stderr().is_terminal(),
    });
    let flushed = output.flush();
    // Whatever is left would be written again, and fail again, where the buffer ends.
    let (_, _) = output.into_parts();
    let outcome = outcome?;
    flushed.map(|()| outcome)
}

/// What the standard output can show: colours on a terminal, unless `NO_COLOR` (<https://no-color.org>) is set or the
/// terminal is a dumb one.
fn style_of_terminal() -> Style {
    if !io::stdout().is_terminal() {
        return Style::PLAIN;
    }
    let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    Style {
        colour: !unwanted && !dumb,
        width: terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| width.0),
    }
}
