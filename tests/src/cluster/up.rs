//! From nothing to a cluster whose nodes are ready.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::future::try_join_all;
use serde_json::json;

use super::certificates::Certificates;
use super::layout::Layout;
use super::machine::Machine;
use super::plan::{Cni, NodeNumber, Plan};
use super::progress::Progress;
use super::{CONTROL, Cluster, cni, control_plane, flannel, install::Installation, network, node};

const OBJECTS_PATIENCE: Duration = Duration::from_secs(30);
const READY_PATIENCE: Duration = Duration::from_mins(2);
const MTU: u32 = 1500;

impl Cluster {
    /// Starts a cluster and installs what is given; ends it again when that fails. Fails when one is there already.
    pub async fn up(
        layout: Layout,
        plan: Plan,
        installation: &Installation,
        progress: &mut Progress,
    ) -> Result<Self> {
        plan.check()?;
        if layout.state().exists() {
            bail!(
                "{} is there already: `make cluster-down` removes it",
                layout.state().display()
            );
        }
        let cluster = Self { layout, plan };
        let done = cluster.start(installation, progress).await;
        done.with_context(|| {
            format!(
                "its state and logs are left in {}",
                cluster.layout.state().display()
            )
        })?;
        Ok(cluster)
    }

    async fn start(&self, installation: &Installation, progress: &mut Progress) -> Result<()> {
        let (layout, plan) = (&self.layout, &self.plan);
        fs::create_dir_all(layout.state()).with_context(|| format!("making {}", layout.state().display()))?;
        fs::write(layout.plan(), serde_json::to_string_pretty(plan)?)?;
        fs::write(layout.enter(), enter_script(layout))?;

        let control = self.machine(CONTROL)?;
        let nodes: Vec<(NodeNumber, Machine)> = plan.nodes().zip(self.nodes()?).collect();
        let machines = std::iter::once(&control).chain(nodes.iter().map(|(_, machine)| machine));
        try_join_all(machines.map(Machine::create)).await?;
        network::connect(plan, &control, &nodes).await?;
        progress.say(&format!("{} machines run", nodes.len() + 1));

        let images = images(layout, installation)?;
        let (keys, ()) = tokio::try_join!(serve(plan, layout, &control), prepare(&nodes, &images),)?;
        progress.say("the API server is ready, nodes have their images");

        let mut objects: Vec<_> = nodes
            .iter()
            .map(|(number, _)| node::object(plan, *number))
            .collect();
        if plan.cni == Cni::Flannel {
            objects.extend(flannel::permissions());
        }
        let objects = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
        self.kubectl(&["create", "--filename=-"], &objects, OBJECTS_PATIENCE)
            .await?;
        control_plane::govern(layout, &control, &keys).await?;
        try_join_all(
            nodes
                .iter()
                .map(|(number, machine)| join(plan, layout, machine, *number, &keys)),
        )
        .await?;
        progress.say("kubelets run");
        let timeout = format!("--timeout={}s", READY_PATIENCE.as_secs());
        let words = ["wait", "--for=condition=Ready", "nodes", "--all", &timeout];
        self.kubectl(&words, "", READY_PATIENCE + OBJECTS_PATIENCE)
            .await?;
        progress.say("all nodes are ready");

        if let Some(manifest) = &installation.manifest {
            self.install(manifest).await?;
            progress.say("Palisade is ready");
        }
        Ok(())
    }
}

/// Starts the control plane as far as the API server.
async fn serve(plan: &Plan, layout: &Layout, control: &Machine) -> Result<Certificates> {
    let keys = control_plane::certify(plan, layout).await?;
    control_plane::serve(plan, layout, control, &keys).await?;
    control_plane::wait_until_ready(layout, control).await?;
    Ok(keys)
}

/// Starts containerd on all nodes and gives them their images.
async fn prepare(nodes: &[(NodeNumber, Machine)], images: &[PathBuf]) -> Result<()> {
    try_join_all(nodes.iter().map(async |(_, machine)| {
        node::start_containerd(machine).await?;
        for image in images {
            node::import(machine, image).await?;
        }
        anyhow::Ok(())
    }))
    .await
    .map(drop)
}

/// Starts what makes a node a node of the cluster.
async fn join(
    plan: &Plan,
    layout: &Layout,
    machine: &Machine,
    number: NodeNumber,
    keys: &Certificates,
) -> Result<()> {
    node::join(plan, layout, machine, number, keys).await?;
    match plan.cni {
        Cni::Ptp | Cni::Bridge => cni::configure(machine, plan.cni, &plan.pod_networks(number), MTU),
        Cni::Flannel => flannel::start(plan, layout, machine, number).await,
    }
}

/// The archives of all images that nodes get, in order.
fn images(layout: &Layout, installation: &Installation) -> Result<Vec<PathBuf>> {
    let directory = layout.images();
    let mut images = Vec::new();
    for entry in fs::read_dir(&directory)
        .with_context(|| format!("reading {}: `make kubernetes` builds it", directory.display()))?
    {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "tar") {
            images.push(path);
        }
    }
    images.sort();
    images.extend(installation.images.iter().cloned());
    Ok(images)
}

fn enter_script(layout: &Layout) -> String {
    format!(
        "#!/bin/sh\n# Runs a program, or a shell, in the network of the cluster: sh {enter} kubectl get pods -A\n\
         read -r init rest <{init}\n\
         export KUBECONFIG={configuration} PATH={programs}:$PATH\n\
         [ $# -gt 0 ] || set -- \"${{SHELL:-sh}}\"\n\
         exec nsenter --net=\"/proc/$init/ns/net\" -- \"$@\"\n",
        enter = layout.enter().display(),
        init = layout.machine(CONTROL).join("init").display(),
        configuration = layout.client_configuration("admin").display(),
        programs = layout.programs().display(),
    )
}
