//! Programs that are run to their end, with a deadline.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

/// How often a wait for a condition looks again.
pub(crate) const GLANCE: Duration = Duration::from_millis(50);

/// What a program that has ended leaves.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

/// Runs `command` with `input`, and gives what it left, whatever its exit status.
pub async fn run(mut command: Command, input: &str, patience: Duration) -> Result<Ended> {
    let name = describe(&command);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().with_context(|| format!("starting {name}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read its input to the end is free not to.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let Ok(output) = timeout(patience, child.wait_with_output()).await else {
        bail!("{name} has not ended within {patience:?}");
    };
    let output = output.with_context(|| format!("waiting for {name}"))?;
    Ok(Ended {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Runs `command` with `input` and gives its standard output; fails when its exit status says that it failed.
pub async fn succeed(command: Command, input: &str, patience: Duration) -> Result<String> {
    let name = describe(&command);
    let ended = run(command, input, patience).await?;
    if !ended.status.success() {
        bail!("{name}: {}: {}{}", ended.status, ended.stdout, ended.stderr);
    }
    Ok(ended.stdout)
}

/// Waits until `look` finds something, at most `patience`; then fails with what was waited for.
pub async fn wait_for<T>(
    what: &str,
    patience: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> Result<T> {
    let search = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(GLANCE).await;
        }
    };
    timeout(patience, search)
        .await
        .with_context(|| format!("{what}: not within {patience:?}"))
}

/// The program and its arguments, as far as they help to recognise it.
fn describe(command: &Command) -> String {
    const LENGTH: usize = 160;
    let command = command.as_std();
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let mut text = words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ");
    if let Some((cut, _)) = text.char_indices().nth(LENGTH) {
        text.truncate(cut);
        text.push('…');
    }
    text
}
