//! The command line of the real cluster. See [`palisade_tests::cluster`].

use std::io::{Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use palisade_tests::cluster::conformance::{Conformance, table};
use palisade_tests::cluster::{
    BridgeFilter, Cluster, Cni, Families, Installation, Layout, Plan, Progress, build, build_server,
};
use tokio::process::Command;

/// Starts and stops a real Kubernetes on this machine, and tests Palisade on it.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Directory of the cluster's state [default: target/cluster].
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Directory of what was built for clusters [default: target/kubernetes].
    #[arg(long, value_name = "DIR")]
    kubernetes: Option<PathBuf>,
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build Kubernetes, its suite, flanneld and the images that nodes get.
    Build {
        /// No more than the API server, for benches that need no nodes.
        #[arg(long)]
        server: bool,
    },
    /// Start a cluster.
    Up(Up),
    /// Stop the cluster and remove all of it.
    Down,
    /// Give every node images from archives.
    Load {
        /// Archives as `docker save` writes them.
        #[arg(required = true)]
        archives: Vec<PathBuf>,
    },
    /// Run the network-policy specs of Kubernetes' own suite.
    Conformance(Specs),
    /// Start, stop or kill a program that the cluster is made of.
    Component {
        /// `control`, `node1`, …
        machine: String,
        /// `etcd`, `kubelet`, …
        name: String,
        /// What to do.
        #[arg(value_enum)]
        action: Action,
    },
    /// Cut a node off from all other machines, or join it again.
    Wire {
        /// `node1`, …
        node: String,
        /// What to do.
        #[arg(value_enum)]
        wire: Wire,
    },
    /// Run kubectl on the cluster.
    Kubectl {
        /// Its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Run a program of this host in the cluster's network, with KUBECONFIG set.
    Enter {
        /// The program and its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        words: Vec<String>,
    },
    /// Run a program on a machine of the cluster.
    Exec {
        /// `control`, `node1`, …
        machine: String,
        /// The program and its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        words: Vec<String>,
    },
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Action {
    Start,
    Stop,
    Kill,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Wire {
    Cut,
    Join,
}

#[derive(clap::Args)]
struct Up {
    /// How pods are wired.
    #[arg(long, value_enum, default_value = "ptp")]
    cni: Cni,
    /// How many nodes.
    #[arg(long, default_value_t = 2)]
    nodes: u8,
    /// IPv4 and IPv6.
    #[arg(long)]
    dual_stack: bool,
    /// An archive of an image that nodes get.
    #[arg(long = "image", value_name = "TAR")]
    images: Vec<PathBuf>,
    /// What installs Palisade; without it the cluster enforces nothing.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
}

#[derive(clap::Args)]
struct Specs {
    /// Which specs: a regular expression [default: all on network policies].
    #[arg(long)]
    focus: Option<String>,
    /// How many specs run at a time. They mostly wait for what is denied.
    #[arg(long, default_value_t = 4)]
    processes: u8,
    /// Where report and log go [default: target/conformance/CNI].
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    match runtime.block_on(perform(options)) {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

async fn perform(options: Options) -> Result<ExitCode> {
    let layout = layout(options.state.as_deref(), options.kubernetes.as_deref())?;
    let mut progress = Progress::stderr();
    match options.task {
        Task::Build { server: true } => build_server(&layout, &mut progress).await?,
        Task::Build { server: false } => build(&layout, &mut progress).await?,
        Task::Up(up) => {
            // Whoever reads them works in another directory.
            let images = up.images.into_iter().map(std::path::absolute);
            let installation = Installation {
                images: images.collect::<Result<_, _>>()?,
                manifest: up.manifest.map(std::path::absolute).transpose()?,
            };
            let bridge_filter = match installation.manifest {
                Some(_) => BridgeFilter::Palisade,
                None => BridgeFilter::Node,
            };
            let families = if up.dual_stack {
                Families::Dual
            } else {
                Families::Single
            };
            let plan = Plan {
                cni: up.cni,
                nodes: up.nodes,
                families,
                bridge_filter,
            };
            let cluster = Cluster::up(layout, plan, &installation, &mut progress).await?;
            stdout().write_all(usage(&cluster).as_bytes())?;
        }
        Task::Down => Cluster::down(&layout).await?,
        Task::Load { archives } => {
            let cluster = Cluster::attach(layout)?;
            for archive in archives {
                cluster.load(&std::path::absolute(archive)?).await?;
            }
        }
        Task::Conformance(specs) => {
            let cluster = Cluster::attach(layout)?;
            return judge(&cluster, specs, &mut progress).await;
        }
        Task::Component {
            machine,
            name,
            action,
        } => {
            let component = Cluster::attach(layout)?.component(&machine, &name)?;
            match action {
                Action::Start => component.start().await?,
                Action::Stop => component.stop().await?,
                Action::Kill => component.kill().await?,
            }
        }
        Task::Wire { node, wire } => {
            let cluster = Cluster::attach(layout)?;
            let number = cluster.plan().nodes().find(|number| number.name() == node);
            let number = number.with_context(|| format!("the cluster has no node {node}"))?;
            match wire {
                Wire::Cut => cluster.cut_off(number).await?,
                Wire::Join => cluster.reconnect(number).await?,
            }
        }
        Task::Kubectl { words } => {
            let mut command = Cluster::attach(layout)?.command("kubectl")?;
            command.args(words);
            return hand_over(command).await;
        }
        Task::Enter { words } => {
            let cluster = Cluster::attach(layout)?;
            let (program, words) = words.split_first().context("no program")?;
            let mut command = cluster.command(program)?;
            command.args(words);
            return hand_over(command).await;
        }
        Task::Exec { machine, words } => {
            let (program, words) = words.split_first().context("no program")?;
            let mut command = Cluster::attach(layout)?.machine(&machine)?.command(program)?;
            command.args(words);
            return hand_over(command).await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// How to use a cluster that has just come up.
fn usage(cluster: &Cluster) -> String {
    let enter = cluster.layout().enter();
    let enter = enter.display();
    format!(
        "\nsh {enter} kubectl get pods -A   # one command; without any, a shell in the cluster's network\n\
         sh {enter} kubectl get noderulesets\n\
         make cluster-down                # removes all of it\n"
    )
}

/// Runs the specs, prints how they ended, and fails unless all is well.
async fn judge(cluster: &Cluster, specs: Specs, progress: &mut Progress) -> Result<ExitCode> {
    let cni = cluster.plan().cni.to_string();
    let default = || cluster.layout().state().with_file_name("conformance").join(&cni);
    let directory = std::path::absolute(specs.report.unwrap_or_else(default))?;
    let full = specs.focus.is_none();
    let run = Conformance {
        focus: specs.focus,
        processes: specs.processes,
        directory,
    };
    let report = run.run(cluster, progress).await?;
    stdout().write_all(table(&cni, &report).as_bytes())?;
    let verdict = if full {
        report.full_verdict()
    } else {
        report.verdict()
    };
    if let Err(error) = verdict {
        writeln!(stderr(), "error: {error:#}; see {}", run.log().display())?;
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a program with this one's input and output, and ends as it ends.
async fn hand_over(mut command: Command) -> Result<ExitCode> {
    let status: ExitStatus = command.status().await?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

fn layout(state: Option<&Path>, kubernetes: Option<&Path>) -> Result<Layout> {
    let default = Layout::of_checkout();
    let state = std::path::absolute(state.unwrap_or(default.state()))?;
    let kubernetes = std::path::absolute(kubernetes.unwrap_or(default.kubernetes()))?;
    Ok(Layout::new(state, kubernetes))
}

fn failed(error: &anyhow::Error) -> ExitCode {
    // If even this cannot be written, the exit code is all that is left to say.
    let _ = writeln!(stderr(), "error: {error:#}");
    ExitCode::from(2)
}
