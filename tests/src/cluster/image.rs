//! Images as archives, without a registry: one layer, in the form that `docker save` writes.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use super::hex::hex;

/// An image of few files.
#[derive(Debug, Default)]
pub(crate) struct Image {
    /// Names with tags.
    pub(crate) names: Vec<String>,
    /// What runs when nothing else is asked for.
    pub(crate) entrypoint: Vec<String>,
    /// Programs: where they are taken from and their path in the image.
    pub(crate) programs: Vec<(PathBuf, String)>,
    /// Symbolic links: path in the image and target.
    pub(crate) links: Vec<(String, String)>,
    /// Empty directories, writable for everybody.
    pub(crate) directories: Vec<String>,
}

impl Image {
    /// Writes the archive.
    pub(crate) fn write(&self, archive: &Path) -> Result<()> {
        let layer = self.layer()?;
        let configuration = json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux",
            "config": {"Entrypoint": self.entrypoint, "Env": ["PATH=/bin:/usr/bin:/sbin:/"]},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", digest(&layer))]},
        })
        .to_string();
        let name = format!("{}.json", digest(configuration.as_bytes()));
        let manifest = json!([{"Config": name, "RepoTags": self.names, "Layers": ["layer.tar"]}]).to_string();

        let new = archive.with_extension("new");
        let file = std::fs::File::create(&new).with_context(|| format!("making {}", new.display()))?;
        let mut builder = Builder::new(file);
        for (name, content) in [
            (name.as_str(), configuration.as_bytes()),
            ("layer.tar", &layer),
            ("manifest.json", manifest.as_bytes()),
        ] {
            let mut header = header(EntryType::Regular, 0o644);
            header.set_size(content.len().try_into()?);
            builder.append_data(&mut header, name, content)?;
        }
        builder.into_inner()?.flush()?;
        std::fs::rename(&new, archive).with_context(|| format!("writing {}", archive.display()))
    }

    fn layer(&self) -> Result<Vec<u8>> {
        let mut builder = Builder::new(Vec::new());
        for directory in &self.directories {
            builder.append_data(
                &mut header(EntryType::Directory, 0o1777),
                directory,
                std::io::empty(),
            )?;
        }
        for (source, path) in &self.programs {
            let content = std::fs::read(source).with_context(|| format!("reading {}", source.display()))?;
            let mut header = header(EntryType::Regular, 0o755);
            header.set_size(content.len().try_into()?);
            builder.append_data(&mut header, path, content.as_slice())?;
        }
        for (path, target) in &self.links {
            builder.append_link(&mut header(EntryType::Symlink, 0o777), path, target)?;
        }
        Ok(builder.into_inner()?)
    }
}

/// Equal content gives equal images: no owner, no time.
fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header
}

fn digest(content: &[u8]) -> String {
    hex(&Sha256::digest(content))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use super::*;

    fn entries(archive: &Path) -> BTreeMap<String, Vec<u8>> {
        let mut read = BTreeMap::new();
        let mut archive = tar::Archive::new(std::fs::File::open(archive).unwrap());
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            read.insert(entry.path().unwrap().display().to_string(), content);
        }
        read
    }

    #[test]
    fn an_archive_names_its_image_and_the_digest_of_its_layer() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("program");
        std::fs::write(&program, "content").unwrap();
        let archive = directory.path().join("image.tar");
        let image = Image {
            names: vec!["example/image:1".into()],
            entrypoint: vec!["/program".into()],
            programs: vec![(program, "program".into())],
            links: vec![("bin/link".into(), "/program".into())],
            directories: vec!["tmp".into()],
        };
        image.write(&archive).unwrap();

        let entries = entries(&archive);
        let manifest: serde_json::Value = serde_json::from_slice(&entries["manifest.json"]).unwrap();
        assert_eq!(manifest[0]["RepoTags"], json!(["example/image:1"]));
        let configuration = &entries[manifest[0]["Config"].as_str().unwrap()];
        let configuration: serde_json::Value = serde_json::from_slice(configuration).unwrap();
        let layer = &entries["layer.tar"];
        assert_eq!(
            configuration["rootfs"]["diff_ids"][0],
            format!("sha256:{}", digest(layer))
        );
        assert_eq!(image.layer().unwrap(), *layer);
    }
}
