//! What happens, told to whoever waits.

use std::io::Write;
use std::time::Instant;

/// Lines with the seconds since the beginning.
pub struct Progress {
    begin: Instant,
    out: Box<dyn Write + Send>,
}

impl Progress {
    /// Lines on standard error.
    pub fn stderr() -> Self {
        Self {
            begin: Instant::now(),
            out: Box::new(std::io::stderr()),
        }
    }

    /// No lines.
    pub fn silent() -> Self {
        Self {
            begin: Instant::now(),
            out: Box::new(std::io::sink()),
        }
    }

    /// One line.
    pub fn say(&mut self, what: &str) {
        // Who cannot be told misses nothing but that.
        let _ = writeln!(self.out, "[{:5.1} s] {what}", self.begin.elapsed().as_secs_f64());
    }
}
