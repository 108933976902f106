//! `make demo`: real packets obey real policies, one policy after the other.
//!
//! ```text
//!   config/samples/*.yaml ─► objects ─┬─► oracle ────────────────────────────► expected ─┐
//!                                     └─► compile ─► enforcers ─► kernels ─► observed ──┴─► side by side
//! ```
//!
//! [`run`] starts a [`Stage`] of two nodes, tells the story on it and clears away. Nothing that is printed is a figure
//! of the story's own: verdicts are the oracle's and the packets', times are measured, and whether anything is left is
//! asked of the kernel.

mod cast;
mod matrix;
mod opening;
mod player;
mod remains;
mod screen;
mod service;
mod story;
mod sweep;
mod web;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;

use crate::bed::{BedSpec, Topology};
use crate::stage::Stage;

pub use screen::Screen;

use player::{Figures, Player};
use remains::Before;
use screen::Ink;
use web::WebServer;

/// Watch Kubernetes network policies take hold: real pods, real kernels, real packets.
#[derive(Clone, Debug, Parser)]
#[command(name = "palisade-demo", max_term_width = 110)]
pub struct Options {
    /// How pods are connected: by a route to each veth (routed), by a bridge on each node (bridge), by one segment over all
    /// nodes (segment)
    #[arg(long, value_name = "routed|bridge|segment", default_value = "routed", value_parser = topology)]
    topology: Topology,
}

fn topology(text: &str) -> Result<Topology, String> {
    let found = Topology::ALL
        .into_iter()
        .find(|topology| topology.as_str() == text);
    found.ok_or_else(|| "it is one of routed, bridge, segment".to_owned())
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Every packet did what the policies say, and nothing is left.
    Good,
    /// Some did not, or something is left.
    Bad,
    /// Ctrl-C; everything was cleared away.
    Interrupted,
}

/// Plays the story from start to end, or to Ctrl-C.
pub async fn run(options: &Options, screen: &mut Screen) -> Result<Ending> {
    let begin = Instant::now();
    let before = Before::look()?;
    screen.gap()?;
    screen.heading("Palisade", "real packets, real policies")?;
    screen.gap()?;
    let spec = BedSpec {
        topology: options.topology,
        nodes: 2,
        slots_per_node: 2,
    };
    let nginx = WebServer::installed()?;
    // Where nginx is missing, the backend's port has a responder like all others.
    let web_port = nginx.is_none().then_some(story::WEB_PORT);
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    let stage = tokio::select! {
        stage = Stage::start(spec, story::PORTS.into_iter().chain(web_port)) => stage?,
        _ = &mut interrupted => return interrupt(screen),
    };
    let directory = stage.bed().directory().to_owned();
    let mut player = Player::new(stage, &samples())?;
    let told = tokio::select! {
        told = tell(&mut player, nginx, begin, screen) => Some(told),
        _ = &mut interrupted => None,
    };
    let (stopped, figures) = player.stop().await;
    let Some(told) = told else {
        stopped.context("clearing away")?;
        return interrupt(screen);
    };
    match (told, stopped) {
        (Err(error), Err(also)) => {
            return Err(error.context(format!("clearing away failed as well: {also:#}")));
        }
        (told, stopped) => told.and(stopped.context("clearing away"))?,
    }
    let left = before.left(&directory).await?;
    close(screen, &figures, begin, &left)?;
    let good = figures.mismatches == 0 && left.is_empty();
    Ok(if good { Ending::Good } else { Ending::Bad })
}

async fn tell(player: &mut Player, nginx: Option<String>, begin: Instant, screen: &mut Screen) -> Result<()> {
    player.introduce(nginx, begin, screen).await?;
    for (number, step) in story::STEPS.iter().enumerate() {
        player.play(number, step, screen).await?;
    }
    player.serve(story::STEPS.len(), screen).await
}

/// The figures, and what is left.
fn close(screen: &mut Screen, figures: &Figures, begin: Instant, left: &[String]) -> Result<()> {
    screen.gap()?;
    screen.heading("Figures", "")?;
    screen.gap()?;
    screen.line(&format!(
        "{} steps, {} probes, {} packets and handshakes sent, in {:.1} s",
        figures.steps,
        figures.probes,
        figures.sent,
        begin.elapsed().as_secs_f64()
    ))?;
    screen.line(&format!(
        "from a changed file to the last kernel: p50 {}, max {}",
        player::millis(figures.at(50)),
        player::millis(figures.at(100)),
    ))?;
    let ink = if figures.mismatches == 0 {
        Ink::Good
    } else {
        Ink::Loud
    };
    let verdict = screen.ink(ink, &format!("mismatches = {}", figures.mismatches));
    screen.line(&verdict)?;
    screen.gap()?;
    if left.is_empty() {
        screen.text(
            None,
            "Nothing is left: no process of the demo, no network namespace, no file. Checked just now.",
            0,
        )?;
    }
    for remnant in left {
        let line = screen.ink(Ink::Loud, &format!("Left behind: {remnant}"));
        screen.line(&line)?;
    }
    screen.gap()?;
    screen.flush()?;
    Ok(())
}

fn interrupt(screen: &mut Screen) -> Result<Ending> {
    screen.gap()?;
    screen.text(
        None,
        "Interrupted. Processes have been ended and files removed; the network namespaces have no name, and are gone with \
         this process.",
        0,
    )?;
    screen.flush()?;
    Ok(Ending::Interrupted)
}

/// The folder of the manifests.
fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/samples")
}

/// Reads the events of a manifest; what is wrong with it is an error with a line for each problem.
fn read(path: &Path) -> Result<Vec<palisade_policy::cluster::Event>> {
    use palisade_controller::manifest::{Source, Strictness, read};
    let source = Source::Path(path.to_owned());
    match read(&[source], &mut std::io::empty(), Strictness::Strict) {
        Ok(manifests) => Ok(manifests.events),
        Err(invalid) => {
            let problems: Vec<String> = invalid.problems.iter().map(ToString::to_string).collect();
            bail!("{invalid}:\n{}", problems.join("\n"))
        }
    }
}
