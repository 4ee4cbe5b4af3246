//! The egress guard's image: packed here from its static program, without a pull and without a builder.
//!
//! The archive is what `docker save` writes, version 1.2 of
//! <https://github.com/moby/docker-image-spec/blob/main/v1.2.md>: one layer with one file.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use claude_bottle_backend_shared::key;
use claude_bottle_backend_shared::tree::{Entry, TarWriter, TreeError};
use claude_bottle_plugin_api::{Call, Result};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::engine::{Engine, whole};
use crate::error::DockerError;

/// A directory of the image with the program alone, owned by the guard's user. It may become a volume that the agent has too.
pub(crate) const LINK_DIR: &str = "/run/claude-bottle-link";
/// The program's path in the image.
pub(crate) const PROGRAM: &str = "/run/claude-bottle-link/egress-guard";
/// A user that owns nothing: the number distroless images use for theirs.
pub(crate) const USER: &str = "65532:65532";
const USER_IDS: (u32, u32) = (65532, 65532);

/// The guard's program and the image it becomes.
pub(crate) struct GuardImage {
    pub(crate) tag: String,
    program: Vec<u8>,
    key: String,
    arch: &'static str,
}

impl GuardImage {
    /// Checks that the engine can run the program, by its first bytes.
    pub(crate) fn check(path: &Path, engine_arch: &str) -> Result<(), DockerError> {
        let mut head = Vec::new();
        let read = File::open(path).and_then(|file| file.take(64).read_to_end(&mut head));
        read.map_err(|source| DockerError::ReadGuard { path: path.to_owned(), source })?;
        check_program(path, &head, engine_arch).map(drop)
    }

    /// Reads the program and checks that the engine can run it.
    pub(crate) fn read(path: &Path, engine_arch: &str) -> Result<Self, DockerError> {
        let read = |source| DockerError::ReadGuard { path: path.to_owned(), source };
        let mut program = Vec::new();
        File::open(path).and_then(|mut file| file.read_to_end(&mut program)).map_err(read)?;
        let arch = check_program(path, &program, engine_arch)?;
        let key = super::short_hash(&[b"3", &program]);
        Ok(Self { tag: format!("claude-bottle-guard:{key}"), program, key, arch })
    }
}

/// ELF machine numbers, the engine's names for them, and Go's: <https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html>.
const MACHINES: &[(u16, &str, &str)] = &[(62, "x86_64", "amd64"), (183, "aarch64", "arm64")];

/// Says which architecture the program is for, in Go's words, when the engine runs it.
fn check_program(path: &Path, program: &[u8], engine_arch: &str) -> Result<&'static str, DockerError> {
    let machine = program.starts_with(b"\x7fELF").then(|| program.get(18..20)).flatten();
    let machine = machine.map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
    let known = MACHINES.iter().find(|(number, ..)| Some(*number) == machine);
    match known {
        Some((_, name, go)) if *name == engine_arch || *go == engine_arch => Ok(go),
        _ => Err(DockerError::GuardArchitecture {
            path: PathBuf::from(path),
            found: known.map_or_else(|| "no program for Linux".to_owned(), |(_, name, _)| (*name).to_owned()),
            wanted: engine_arch.to_owned(),
        }),
    }
}

/// Makes sure the image is in the engine.
pub(crate) async fn ensure(engine: &impl Engine, call: &Call, image: &GuardImage) -> Result<()> {
    let find = |source| DockerError::FindImage { reference: image.tag.clone(), source };
    if engine.image(&image.tag).await.map_err(find)?.is_some() {
        return Ok(());
    }
    let step = call.step("load-guard", "loading the egress guard into the engine");
    let archive = pack(image).map_err(|source| DockerError::CopyIn { source })?;
    let load = |source| DockerError::LoadImage { tag: image.tag.clone(), source };
    engine.load_image(whole(archive)).await.map_err(load)?;
    step.done();
    Ok(())
}

/// Packs the image; the same program gives the same bytes.
fn pack(image: &GuardImage) -> Result<Vec<u8>, TreeError> {
    let entry = |mode| Entry { owner: (0, 0), mode, mtime: 0 };
    let mut layer = Vec::with_capacity(image.program.len() + 4096);
    let mut writer = TarWriter::new(&mut layer);
    writer.dir(Path::new(LINK_DIR), Entry { owner: USER_IDS, ..entry(0o755) })?;
    writer.file(Path::new(PROGRAM), entry(0o555), &image.program)?;
    writer.finish()?;

    let config = json!({
        "architecture": image.arch,
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "User": USER,
            "Entrypoint": [PROGRAM],
            "Labels": { key::IMAGE_KEY: image.key },
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", hex(&Sha256::digest(&layer)))] },
        "history": [{ "created": "1970-01-01T00:00:00Z", "created_by": "claude-bottle egress-guard" }],
    })
    .to_string();
    let config_name = format!("{}.json", hex(&Sha256::digest(&config)));
    let manifest = json!([{ "Config": config_name, "RepoTags": [image.tag], "Layers": ["layer.tar"] }]);

    let mut archive = Vec::with_capacity(layer.len() + 8192);
    let mut writer = TarWriter::new(&mut archive);
    writer.file(Path::new("layer.tar"), entry(0o644), &layer)?;
    writer.file(Path::new(&config_name), entry(0o644), config.as_bytes())?;
    writer.file(Path::new("manifest.json"), entry(0o644), manifest.to_string().as_bytes())?;
    writer.finish()?;
    Ok(archive)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(machine: u16) -> Vec<u8> {
        let mut bytes = b"\x7fELF".to_vec();
        bytes.resize(18, 0);
        bytes.extend(machine.to_le_bytes());
        bytes
    }

    #[test]
    fn only_a_program_for_the_engine_is_packed() {
        let path = Path::new("guard");
        assert_eq!(check_program(path, &program(62), "x86_64").unwrap(), "amd64");
        assert_eq!(check_program(path, &program(183), "aarch64").unwrap(), "arm64");
        let text = |bytes: &[u8], arch| check_program(path, bytes, arch).unwrap_err().to_string();
        assert!(text(&program(183), "x86_64").ends_with("is aarch64, and the engine runs x86_64"));
        assert!(text(b"#!/bin/sh", "x86_64").contains("is no program for Linux"));
        assert!(text(b"\x7fELF", "x86_64").contains("is no program for Linux"));
    }

    #[test]
    fn the_same_program_gives_the_same_archive() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("guard");
        std::fs::write(&path, program(62)).unwrap();
        let read = || GuardImage::read(&path, "x86_64").unwrap();
        assert_eq!(pack(&read()).unwrap(), pack(&read()).unwrap());
        let before = read().tag;
        std::fs::write(&path, [program(62), vec![0]].concat()).unwrap();
        assert_ne!(read().tag, before);
    }
}
