//! Where a cluster keeps its files.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::hex::hex;

/// The paths of one cluster: its state, and the programs and images that it is made of.
#[derive(Clone, Debug)]
pub struct Layout {
    state: PathBuf,
    kubernetes: PathBuf,
}

impl Layout {
    /// A cluster with its state in one directory and what was built for it in another. Both are absolute.
    pub fn new(state: PathBuf, kubernetes: PathBuf) -> Self {
        Self { state, kubernetes }
    }

    /// The cluster of this checkout: below `target/`.
    pub fn of_checkout() -> Self {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target");
        Self::new(target.join("cluster"), target.join("kubernetes"))
    }

    /// The directory of everything that goes when the cluster goes.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// What the cluster is, as a document.
    pub(crate) fn plan(&self) -> PathBuf {
        self.state.join("plan.json")
    }

    /// The directory of a machine.
    pub(crate) fn machine(&self, name: &str) -> PathBuf {
        self.state.join("machines").join(name)
    }

    /// The directory of all machines.
    pub(crate) fn machines(&self) -> PathBuf {
        self.state.join("machines")
    }

    /// The directory of keys and certificates.
    pub(crate) fn certificates(&self) -> PathBuf {
        self.state.join("certificates")
    }

    /// The client configuration of somebody.
    pub(crate) fn client_configuration(&self, name: &str) -> PathBuf {
        self.state.join(format!("{name}.conf"))
    }

    /// The script that gives a shell in the cluster's network.
    pub fn enter(&self) -> PathBuf {
        self.state.join("enter")
    }

    /// The directory of the programs of Kubernetes.
    pub fn programs(&self) -> PathBuf {
        self.kubernetes.join("bin")
    }

    /// A program of Kubernetes.
    pub(crate) fn program(&self, name: &str) -> String {
        self.programs().join(name).display().to_string()
    }

    /// The directory of images that every node gets.
    pub(crate) fn images(&self) -> PathBuf {
        self.kubernetes.join("images")
    }

    /// Where all files of the built parts are.
    pub fn kubernetes(&self) -> &Path {
        &self.kubernetes
    }

    /// The path of the cluster's control groups in each hierarchy. Two clusters never share it.
    pub(crate) fn group(&self) -> PathBuf {
        // A path in full may be longer than a name can be.
        const LENGTH: usize = 8;
        let hash = hex(&Sha256::digest(self.state.as_os_str().as_encoded_bytes()));
        PathBuf::from(format!("palisade-cluster-{hash:.LENGTH$}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_in_two_places_have_two_groups() {
        let one = Layout::new("/a/cluster".into(), "/a/kubernetes".into());
        let other = Layout::new("/b/cluster".into(), "/a/kubernetes".into());
        assert_ne!(one.group(), other.group());
        assert_eq!(one.group(), one.clone().group());
    }
}
