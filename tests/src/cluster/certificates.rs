//! Keys, certificates and the client configurations that name them.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use tokio::process::Command;

use super::hex::hex;
use super::run::succeed;

const PATIENCE: Duration = Duration::from_secs(20);
const DAYS: &str = "365";

/// A directory of keys and certificates, all signed by one authority.
#[derive(Clone, Debug)]
pub(crate) struct Certificates {
    directory: PathBuf,
}

impl Certificates {
    /// Makes the directory, its authority and the key that signs service account tokens.
    pub(crate) async fn create(directory: PathBuf) -> Result<Self> {
        fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
        let own = Self { directory };
        let (key, certificate) = (own.key("ca"), own.certificate("ca"));
        own.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            DAYS,
            "-subj",
            "/CN=palisade-cluster",
            "-keyout",
            &key,
            "-out",
            &certificate,
        ])
        .await?;
        let key = own.key("sa");
        own.openssl(&[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-out",
            &key,
        ])
        .await?;
        own.openssl(&[
            "pkey",
            "-in",
            &key,
            "-pubout",
            "-out",
            &own.service_account_public_key(),
        ])
        .await?;
        Ok(own)
    }

    /// Makes a key and a certificate for a subject such as `/O=system:nodes/CN=system:node:node1`.
    pub(crate) async fn issue(
        &self,
        name: &str,
        subject: &str,
        addresses: &[IpAddr],
        names: &[&str],
    ) -> Result<()> {
        let request = self.path(&format!("{name}.csr"));
        let (key, certificate) = (self.key(name), self.certificate(name));
        self.openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            subject,
            "-keyout",
            &key,
            "-out",
            &request,
        ])
        .await?;
        let extensions = self.path(&format!("{name}.ext"));
        fs::write(&extensions, extensions_of(addresses, names))?;
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            &self.authority(),
            "-CAkey",
            &self.key("ca"),
            "-set_serial",
            &format!("0x{}", serial(name)),
            "-days",
            DAYS,
            "-extfile",
            &extensions,
            "-out",
            &certificate,
        ])
        .await
    }

    /// Writes a client configuration that uses the certificate `name`.
    pub(crate) fn client_configuration(&self, file: &Path, server: &str, name: &str) -> Result<()> {
        let document = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "palisade",
            "clusters": [{"name": "palisade", "cluster": {
                "server": server, "certificate-authority": self.authority(),
            }}],
            "users": [{"name": name, "user": {
                "client-certificate": self.certificate(name), "client-key": self.key(name),
            }}],
            "contexts": [{"name": "palisade", "context": {"cluster": "palisade", "user": name}}],
        });
        fs::write(file, format!("{document:#}\n")).with_context(|| format!("writing {}", file.display()))
    }

    /// The authority's certificate.
    pub(crate) fn authority(&self) -> String {
        self.certificate("ca")
    }

    /// The certificate `name`.
    pub(crate) fn certificate(&self, name: &str) -> String {
        self.path(&format!("{name}.crt"))
    }

    /// The private key `name`.
    pub(crate) fn key(&self, name: &str) -> String {
        self.path(&format!("{name}.key"))
    }

    /// What service account tokens are checked with.
    pub(crate) fn service_account_public_key(&self) -> String {
        self.path("sa.pub")
    }

    fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    async fn openssl(&self, words: &[&str]) -> Result<()> {
        let mut command = Command::new("openssl");
        command.args(words);
        succeed(command, "", PATIENCE).await.map(drop)
    }
}

/// Certificates of one authority need serial numbers of their own; their names are.
fn serial(name: &str) -> String {
    hex(name.as_bytes())
}

/// The section of an extension file: what a certificate is, and what it is valid for. One without any extension would
/// be of version 1, which rustls refuses.
fn extensions_of(addresses: &[IpAddr], names: &[&str]) -> String {
    let names = names.iter().map(|name| format!("DNS:{name}"));
    let addresses = addresses.iter().map(|address| format!("IP:{address}"));
    let all: Vec<String> = names.chain(addresses).collect();
    let mut section = "basicConstraints=CA:FALSE\n".to_owned();
    if !all.is_empty() {
        section.extend(["subjectAltName=", &all.join(","), "\n"]);
    }
    section
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_names_hosts_and_addresses_of_both_families() {
        let addresses = ["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
        assert_eq!(
            extensions_of(&addresses, &["kubernetes"]),
            "basicConstraints=CA:FALSE\nsubjectAltName=DNS:kubernetes,IP:10.0.0.1,IP:fd00::1\n"
        );
        assert_eq!(extensions_of(&[], &[]), "basicConstraints=CA:FALSE\n");
    }

    #[test]
    fn two_certificates_have_two_serial_numbers() {
        assert_ne!(serial("node1"), serial("node2"));
    }
}
