//! Plays the steps: applies a file, measures, prints.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use palisade_policy::cluster::Event;
use palisade_policy::evaluate::{Evaluation, evaluate};
use palisade_policy::model::{Protocol, Transport, Verdict};

use super::cast::{Cast, Member, packet};
use super::matrix;
use super::opening;
use super::screen::{DROPPED, Ink, PASSES, Screen};
use super::service::Service;
use super::story::{CLUSTER, Question, READERS, SERVICE, SHOWN, Step, WEB, WEB_PORT};
use super::sweep::{Finding, Sweep, agrees, describe};
use super::web::{self, WebServer};
use crate::cases::Family;
use crate::stage::Stage;

/// How many mismatches of a step are told in words.
const TOLD: usize = 8;

/// The run in figures.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    /// Steps played.
    pub(super) steps: usize,
    /// Probes, each with an expectation.
    pub(super) probes: usize,
    /// Packets and handshakes tried.
    pub(super) sent: u64,
    /// Probes that did not do as expected.
    pub(super) mismatches: usize,
    /// From a changed file to the last kernel, a figure for each change.
    reached: Vec<Duration>,
}

impl Figures {
    /// The time within which this share of all changes, in hundredths, had reached the last kernel.
    pub(super) fn at(&self, share: usize) -> Duration {
        let mut reached = self.reached.clone();
        reached.sort_unstable();
        let position = (reached.len() * share).div_ceil(100).saturating_sub(1);
        reached.get(position).copied().unwrap_or_default()
    }
}

/// A stage with its cast.
pub(super) struct Player {
    stage: Stage,
    cast: Cast,
    samples: PathBuf,
    web: Option<WebServer>,
    /// The step before.
    last: Option<Sweep>,
    figures: Figures,
}

impl Player {
    /// Seats the pods of the manifests. Nothing is enforced yet.
    pub(super) fn new(mut stage: Stage, samples: &Path) -> Result<Self> {
        let cast = Cast::seat(&mut stage, super::read(&samples.join(CLUSTER))?)?;
        Ok(Self {
            stage,
            cast,
            samples: samples.to_owned(),
            web: None,
            last: None,
            figures: Figures::default(),
        })
    }

    /// Starts the web server if there is one, and says who is where.
    pub(super) async fn introduce(
        &mut self,
        nginx: Option<String>,
        began: Instant,
        screen: &mut Screen,
    ) -> Result<()> {
        let web = self.cast.member(WEB)?.clone();
        let server = match nginx {
            Some(version) => {
                let (slot, _) = web.pod.as_ref().context("the web server is no pod")?;
                let (node, _) = self.stage.node(slot.node())?;
                let directory = node.cni_results().with_file_name("nginx");
                self.web = Some(WebServer::start(node, slot, &web, &directory).await?);
                format!("{version} on port {WEB_PORT}")
            }
            None => format!("no nginx: a responder on {WEB_PORT}"),
        };
        opening::show(self.stage.bed(), &self.cast, &server, began, screen)
    }

    /// Applies the file of a step and shows what comes of it.
    pub(super) async fn play(&mut self, number: usize, step: &Step, screen: &mut Screen) -> Result<()> {
        for event in super::read(&self.samples.join(step.file))? {
            if let Event::PolicyApplied(_) = event {
                self.cast.state.apply(event);
            }
        }
        let enacted = self.stage.enact(&self.cast.state).await;
        let enacted = enacted.with_context(|| format!("applying {}", step.file))?;
        let sweep = Sweep::run(&self.cast, self.stage.prober(), self.web.is_some()).await?;
        let wrong = sweep.mismatches().count();
        self.figures.steps += 1;
        self.figures.probes += sweep.findings.len();
        self.figures.mismatches += wrong;
        self.figures.sent += sweep.requests;
        self.figures.reached.push(enacted.took);

        head(number, step.title, step.meaning, step.file, screen)?;
        screen.gap()?;
        self.matrix(&sweep, screen)?;
        screen.gap()?;
        screen.line(&format!(
            "from the file to the last kernel {} · {} probes in {:.1} s{} · {}",
            millis(enacted.took),
            sweep.findings.len(),
            sweep.took.as_secs_f64(),
            self.last
                .as_ref()
                .map(|last| sweep.since(last))
                .unwrap_or_default(),
            count(wrong, screen)
        ))?;
        for finding in sweep.mismatches().take(TOLD) {
            screen.gap()?;
            self.mismatch(finding, screen)?;
        }
        if wrong > TOLD {
            screen.gap()?;
            screen.line(&format!("… and {} more", wrong - TOLD))?;
        }
        self.last = Some(sweep);
        if step.fetch && self.web.is_some() {
            screen.gap()?;
            self.fetch_directly(screen).await?;
        }
        if let Some(question) = &step.why {
            screen.gap()?;
            self.explain(question, screen)?;
        }
        if step.kernel {
            screen.gap()?;
            self.kernel(screen).await?;
        }
        screen.flush()?;
        Ok(())
    }

    fn matrix(&self, sweep: &Sweep, screen: &mut Screen) -> Result<()> {
        let names: Vec<&str> = self.cast.members.iter().map(|member| &*member.name).collect();
        let groups = SHOWN.iter().filter_map(|(name, transports)| {
            let position = names.iter().position(|known| known == name)?;
            Some((position, *name, *transports))
        });
        let groups: Vec<matrix::Group<'_>> = groups.collect();
        for line in matrix::lines(&names, &groups, &sweep.findings) {
            screen.marks(&line)?;
        }
        Ok(())
    }

    /// A mismatch with what the oracle says of it.
    fn mismatch(&self, finding: &Finding, screen: &mut Screen) -> Result<()> {
        let name = |position: usize| self.cast.members.get(position).map_or("", |member| &*member.name);
        let line = format!(
            "MISMATCH {} → {} {}: expected {}, observed {}",
            name(finding.from),
            name(finding.to),
            finding.packet.transport,
            finding.expected,
            finding.seen
        );
        screen.text(Some(Ink::Loud), &line, 2)?;
        tell(&evaluate(&self.cast.state, &finding.packet), screen)
    }

    /// Why a connection is denied.
    fn explain(&self, question: &Question, screen: &mut Screen) -> Result<()> {
        let Question {
            from,
            to,
            transport,
            family,
        } = *question;
        let packet = packet(self.cast.member(from)?, self.cast.member(to)?, transport, family);
        let evaluation = evaluate(&self.cast.state, &packet);
        let not = if evaluation.verdict == Verdict::Deny {
            " not"
        } else {
            ""
        };
        let over = if family == Family::V6 { " over IPv6" } else { "" };
        let asked = format!("Why can {from}{not} reach {to} on {}{over}?", packet.transport);
        let asked = screen.ink(Ink::Heading, &asked);
        screen.line(&asked)?;
        tell(&evaluation, screen)
    }

    /// Fetches a page from the web server's own addresses.
    async fn fetch_directly(&mut self, screen: &mut Screen) -> Result<()> {
        let web = self.cast.member(WEB)?.clone();
        for reader in READERS {
            for family in Family::ALL {
                let at = SocketAddr::new(web.address(family), WEB_PORT);
                self.fetch(reader, family, at, (&web, WEB_PORT), screen).await?;
            }
        }
        Ok(())
    }

    /// Fetches a page from `at`, behind which a pod and its port answer, and shows the status line.
    async fn fetch(
        &mut self,
        reader: &str,
        family: Family,
        at: SocketAddr,
        (web, port): (&Member, u16),
        screen: &mut Screen,
    ) -> Result<()> {
        let from = self.cast.member(reader)?;
        let packet = packet(from, web, Transport::Port(Protocol::Tcp, port), family);
        let expected = evaluate(&self.cast.state, &packet).verdict;
        let answer = web::fetch(from, family, at, expected).await?;
        self.figures.probes += 1;
        self.figures.sent += u64::from(answer.attempts);
        let authority = at.to_string();
        let url = format!("http://{}/", authority.strip_suffix(":80").unwrap_or(&authority));
        let line = match &answer.page {
            Some((status, page)) => format!("{reader:<9} GET {url:<31} {PASSES} {status}  {page}"),
            None => format!("{reader:<9} GET {url:<31} {DROPPED} no answer"),
        };
        screen.marks(&line)?;
        if !agrees(&answer, web, expected) {
            self.figures.mismatches += 1;
            let line = format!(
                "MISMATCH {reader} → {url}: expected {expected}, observed {}",
                describe(&answer)
            );
            screen.text(Some(Ink::Loud), &line, 2)?;
        }
        Ok(())
    }

    /// What the backend's rules look like in the kernel: the only profile on its node, for it is the only isolated pod.
    async fn kernel(&mut self, screen: &mut Screen) -> Result<()> {
        let (slot, _) = self
            .cast
            .member(WEB)?
            .pod
            .as_ref()
            .context("the web server is no pod")?;
        let (node, _) = self.stage.node(slot.node())?;
        let mut list = Command::new("nft");
        list.args(["list", "table", "inet", "palisade"]);
        let table = node.run(list, "").await?;
        let mut names = table
            .lines()
            .filter_map(|line| line.trim().strip_prefix("chain "));
        let chain = names.find_map(|line| {
            line.split_whitespace()
                .next()
                .filter(|name| name.starts_with("ingress_"))
        });
        let Some(chain) = chain else { return Ok(()) };
        let title = format!("The same in the kernel of {}, for the curious", node.name());
        let title = screen.ink(Ink::Heading, &title);
        screen.line(&title)?;
        screen.text(
            Some(Ink::Faint),
            &format!("  $ nft list chain inet palisade {chain}"),
            2,
        )?;
        let mut list = Command::new("nft");
        list.args(["list", "chain", "inet", "palisade", chain]);
        for line in node.run(list, "").await?.lines() {
            let line = line.replace('\t', "  ");
            screen.text(None, &format!("  {line}"), 2)?;
        }
        Ok(())
    }

    /// The last step: a service in front of the backend.
    pub(super) async fn serve(&mut self, number: usize, screen: &mut Screen) -> Result<()> {
        if self.web.is_none() {
            return Ok(());
        }
        let networks = self.stage.bed().service_network();
        let service = Service::read(&self.samples.join(SERVICE), &self.cast, networks)?;
        self.stage.bed_mut().service(service.table.clone()).await?;
        self.figures.steps += 1;
        head(
            number,
            "A service",
            "Behind the service's address is the backend, and the backend's policies decide. It reaches itself by its own \
             service too: a pod always does, whatever its policies say.",
            SERVICE,
            screen,
        )?;
        screen.gap()?;
        let backend = service.backend.name.clone();
        for reader in READERS.into_iter().chain(["database", &backend]) {
            for family in Family::ALL {
                let at = service.at(family)?;
                self.fetch(reader, family, at, (&service.backend, service.target), screen)
                    .await?;
            }
        }
        screen.flush()?;
        Ok(())
    }

    /// Ends everything that was started.
    pub(super) async fn stop(mut self) -> (Result<()>, Figures) {
        self.figures.sent += self.stage.prober().sent();
        drop(self.web);
        (self.stage.stop().await, self.figures)
    }
}

/// An evaluation in words, set in.
fn tell(evaluation: &Evaluation, screen: &mut Screen) -> Result<()> {
    for line in evaluation.to_string().lines() {
        screen.text(None, &format!("  {line}"), 2)?;
    }
    Ok(())
}

fn head(number: usize, title: &str, meaning: &str, file: &str, screen: &mut Screen) -> Result<()> {
    screen.gap()?;
    screen.heading(&format!("{number}  {title}"), &format!("config/samples/{file}"))?;
    screen.gap()?;
    screen.text(None, meaning, 0)?;
    Ok(())
}

fn count(mismatches: usize, screen: &Screen) -> String {
    let ink = if mismatches == 0 { Ink::Good } else { Ink::Loud };
    let noun = if mismatches == 1 { "mismatch" } else { "mismatches" };
    screen.ink(ink, &format!("{mismatches} {noun}"))
}

/// A duration as people read it: `12.3 ms`.
pub(super) fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}
