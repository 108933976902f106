//! What a cluster is made of: the programs of Kubernetes from the Go modules that `tests/kubernetes` pins, and images.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::process::Command;

use super::hex::hex;
use super::image::Image;
use super::layout::Layout;
use super::node::PAUSE;
use super::progress::Progress;
use super::run::succeed;

/// A new machine compiles everything.
const PATIENCE: Duration = Duration::from_mins(45);

const KUBERNETES: &str = "k8s.io/kubernetes";
const ETCD: &str = "go.etcd.io/etcd/server/v3";
const FLANNEL: &str = "github.com/flannel-io/flannel";
const GINKGO: &str = "github.com/onsi/ginkgo/v2";

/// The image that the suite runs its pods from, named as the suite asks for it.
pub const AGNHOST: &str = "registry.k8s.io/e2e-test-images/agnhost:2.63.0";
/// A small image with a shell and a web server.
pub const BUSYBOX: &str = "docker.io/library/busybox:1.35";

/// Flags of the linker that leave out what debuggers need.
const SMALL: &str = "-s -w";

/// The API server's package.
const SERVER: &str = "cmd/kube-apiserver";

/// Programs of Kubernetes, by their packages.
const PROGRAMS: &[&str] = &[
    SERVER,
    "cmd/kube-controller-manager",
    "cmd/kube-scheduler",
    "cmd/kubelet",
    "cmd/kube-proxy",
    "cmd/kubectl",
    "test/images/agnhost",
];

/// A module as `go list -json` tells it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Module {
    version: String,
    dir: PathBuf,
}

/// Which programs were built, and from what: files below [`Layout::kubernetes`].
const STAMP: &str = "stamp";
const SERVER_STAMP: &str = "stamp-server";

/// Builds the API server and etcd alone, if they are missing or were built from other versions.
pub async fn build_server(layout: &Layout, progress: &mut Progress) -> Result<()> {
    let wanted = fingerprint()?;
    if [STAMP, SERVER_STAMP]
        .iter()
        .any(|stamp| is_built(layout, stamp, &wanted))
    {
        return Ok(());
    }
    programs(layout, &[SERVER], progress).await?;
    stamp(layout, SERVER_STAMP, &wanted)
}

/// Builds what is missing or was built from other versions. Takes seconds when Go has compiled it before.
pub async fn build(layout: &Layout, progress: &mut Progress) -> Result<()> {
    let wanted = fingerprint()?;
    if is_built(layout, STAMP, &wanted) {
        return Ok(());
    }
    let begin = Instant::now();
    fs::create_dir_all(layout.images()).with_context(|| format!("making {}", layout.images().display()))?;
    let module = directory();
    let kubernetes = programs(layout, PROGRAMS, progress).await?;
    progress.say("building e2e.test");
    go(
        &module,
        "0",
        &[
            "test",
            "-c",
            "-trimpath",
            "-ldflags",
            SMALL,
            "-o",
            &output(layout, "e2e.test"),
            "k8s.io/kubernetes/test/e2e",
        ],
    )
    .await?;
    progress.say("building ginkgo");
    let ginkgo = format!("{GINKGO}/ginkgo");
    go_build(&module, "0", SMALL, &output(layout, "ginkgo"), &ginkgo).await?;
    progress.say("building flanneld");
    let flannel = module.join("flannel");
    go_build(&flannel, "1", SMALL, &output(layout, "flanneld"), FLANNEL).await?;

    progress.say("making images");
    let pause = layout.programs().join("pause");
    let mut compiler = Command::new("cc");
    compiler
        .args(["-Os", "-static", "-o"])
        .arg(&pause)
        .arg(kubernetes.dir.join("build/pause/linux/pause.c"));
    succeed(compiler, "", PATIENCE).await?;
    images(layout, &pause).await?;
    stamp(layout, STAMP, &wanted)?;
    progress.say(&format!("built in {:.0} s", begin.elapsed().as_secs_f64()));
    Ok(())
}

/// Builds etcd and programs of Kubernetes, and tells the module of these.
async fn programs(layout: &Layout, packages: &[&str], progress: &mut Progress) -> Result<Module> {
    let target = layout.programs();
    fs::create_dir_all(&target).with_context(|| format!("making {}", target.display()))?;
    let module = directory();
    let kubernetes = find(&module, KUBERNETES).await?;
    let flags = link_flags(&kubernetes.version)?;
    for package in packages {
        progress.say(&format!("building {package} {}", kubernetes.version));
        let package = format!("{KUBERNETES}/{package}");
        go_build(&module, "0", &flags, &output(layout, ""), &package).await?;
    }
    // The release that Kubernetes is tested with: older ones make an API server read from etcd what it has.
    progress.say("building etcd");
    go_build(&module, "0", SMALL, &output(layout, "etcd"), ETCD).await?;
    Ok(kubernetes)
}

fn is_built(layout: &Layout, stamp: &str, wanted: &str) -> bool {
    fs::read_to_string(layout.kubernetes().join(stamp)).is_ok_and(|built| built == wanted)
}

fn stamp(layout: &Layout, name: &str, built: &str) -> Result<()> {
    let file = layout.kubernetes().join(name);
    fs::write(&file, built).with_context(|| format!("writing {}", file.display()))
}

/// Writes the images that every node gets.
async fn images(layout: &Layout, pause: &Path) -> Result<()> {
    let pause = Image {
        names: vec![PAUSE.into()],
        entrypoint: vec!["/pause".into()],
        programs: vec![(pause.to_owned(), "pause".into())],
        ..Image::default()
    };
    pause.write(&layout.images().join("pause.tar"))?;

    let mut command = Command::new("busybox");
    command.arg("--list-full");
    let applets = succeed(command, "", PATIENCE).await?;
    let links: Vec<_> = applets
        .lines()
        .filter_map(|path| path.rsplit('/').next())
        .filter(|name| *name != "busybox")
        .map(|name| (format!("bin/{name}"), "busybox".to_owned()))
        .collect();
    let busybox = (find_program("busybox")?, "bin/busybox".to_owned());
    let directories = ["tmp", "root", "var", "etc"].map(str::to_owned).to_vec();
    let small = Image {
        names: vec![BUSYBOX.into()],
        entrypoint: Vec::new(),
        programs: vec![busybox.clone()],
        links: links.clone(),
        directories: directories.clone(),
    };
    small.write(&layout.images().join("busybox.tar"))?;
    let agnhost = Image {
        names: vec![AGNHOST.into()],
        entrypoint: vec!["/agnhost".into()],
        programs: vec![busybox, (layout.programs().join("agnhost"), "agnhost".into())],
        links,
        directories,
    };
    agnhost.write(&layout.images().join("agnhost.tar"))
}

/// The Go module of this checkout.
fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("kubernetes")
}

/// What is built, in a word: it changes with every pinned version and with how it is built.
fn fingerprint() -> Result<String> {
    let mut hash = Sha256::new();
    for file in [
        "go.mod",
        "go.sum",
        "suite_test.go",
        "flannel/go.mod",
        "flannel/go.sum",
    ] {
        let path = directory().join(file);
        hash.update(fs::read(&path).with_context(|| format!("reading {}", path.display()))?);
    }
    for source in [include_str!("build.rs"), include_str!("image.rs")] {
        hash.update(source);
    }
    Ok(hex(&hash.finalize()))
}

fn output(layout: &Layout, name: &str) -> String {
    // With a slash at the end, a directory.
    layout.programs().join(name).display().to_string()
}

/// The flags that give the programs their version, which clients and servers tell each other.
fn link_flags(version: &str) -> Result<String> {
    let mut parts = version.trim_start_matches('v').split('.');
    let (Some(major), Some(minor)) = (parts.next(), parts.next()) else {
        bail!("{version} is no version");
    };
    let package = "k8s.io/component-base/version";
    Ok(format!(
        "-s -w -X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor} \
         -X {package}.gitTreeState=clean"
    ))
}

async fn find(module: &Path, name: &str) -> Result<Module> {
    go(module, "0", &["mod", "download", name]).await?;
    let text = go(module, "0", &["list", "-m", "-json", name]).await?;
    serde_json::from_str(&text).with_context(|| format!("reading what go says of {name}"))
}

async fn go_build(module: &Path, cgo: &str, flags: &str, output: &str, package: &str) -> Result<()> {
    let words = ["build", "-trimpath", "-ldflags", flags, "-o", output, package];
    go(module, cgo, &words).await.map(drop)
}

async fn go(module: &Path, cgo: &str, words: &[&str]) -> Result<String> {
    let mut command = Command::new("go");
    command.args(words).current_dir(module).env("CGO_ENABLED", cgo);
    succeed(command, "", PATIENCE).await
}

fn find_program(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
        .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
        .with_context(|| format!("looking for {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_their_version() {
        let flags = link_flags("v1.36.3").unwrap();
        assert!(flags.contains("gitVersion=v1.36.3 "));
        assert!(flags.contains("gitMajor=1 ") && flags.contains("gitMinor=36 "));
        assert!(link_flags("1").is_err());
    }
}
