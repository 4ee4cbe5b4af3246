//! The egress guard's image: packed here from static programs, without a pull and without a builder.
//!
//! The archive is what `docker save` writes, version 1.2 of
//! <https://github.com/moby/docker-image-spec/blob/main/v1.2.md>: one layer. It holds the guard and, in a directory that becomes
//! a volume of the agent's too, the program for the inside of a bottle.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use claude_bottle_kit::key;
use claude_bottle_kit::tree::{Entry, TarWriter, TreeError};
use claude_bottle_plugin_api::{Call, ErrorExt, FailureKind, Result};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::known::{self, Stamp};
use crate::engine::Engine;
use crate::error::DockerError;

/// A directory that agent and sidecar share: root's, with the program for the inside and the socket's directory.
pub(crate) const LINK_DIR: &str = "/run/claude-bottle-link";
/// The program for the inside: in the shared directory, and at the same path in a container that shares none.
pub(crate) const GUEST: &str = "/run/claude-bottle-link/bottle-guest";
/// The agent's own command, which is the program for the inside. Its directory is behind the others in `PATH`, which that program sees to.
pub(crate) const COMMAND: &str = "/run/claude-bottle-link/bin/bottle";
/// The guard's own directory, for its socket. It can replace nothing that the agent runs.
pub(crate) const SOCKET_DIR: &str = "/run/claude-bottle-link/guard";
/// The guard's path in the image.
const GUARD: &str = "/egress-guard";
/// A user that owns nothing: the number distroless images use for theirs.
pub(crate) const USER: &str = "65532:65532";
const USER_IDS: (u32, u32) = (65532, 65532);

/// What the name of every such image begins with.
pub(crate) const NAME: &str = "claude-bottle-guard:";

/// The two programs that the image holds, on the host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Programs<'a> {
    pub(crate) guard: &'a Path,
    pub(crate) guest: &'a Path,
}

/// The image that the programs are or become.
#[derive(Debug)]
pub(crate) struct GuardImage {
    pub(crate) tag: String,
    guard: PathBuf,
    guest: PathBuf,
    engine_arch: String,
}

/// The programs' content, and the key of their image.
struct Packable {
    guard: Vec<u8>,
    guest: Vec<u8>,
    key: String,
    arch: &'static str,
}

/// Checks that the engine can run a program, by its first bytes.
pub(crate) fn check(path: &Path, engine_arch: &str) -> Result<(), DockerError> {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(64).read_to_end(&mut head));
    read.map_err(|source| DockerError::ReadProgram { path: path.to_owned(), source })?;
    check_program(path, &head, engine_arch).map(drop)
}

/// Reads a program which the engine can run.
pub(crate) fn read(path: &Path, engine_arch: &str) -> Result<(Vec<u8>, &'static str), DockerError> {
    let program = std::fs::read(path);
    let program = program.map_err(|source| DockerError::ReadProgram { path: path.to_owned(), source })?;
    let arch = check_program(path, &program, engine_arch)?;
    Ok((program, arch))
}

impl GuardImage {
    /// Finds the image of the programs, and reads them only when one has changed since they were packed last.
    ///
    /// This blocks.
    pub(crate) fn find(
        programs: Programs<'_>,
        engine_arch: &str,
        data_dir: &Path,
    ) -> Result<Self, DockerError> {
        let stamp = |path: &Path| {
            check(path, engine_arch)?;
            let found = std::fs::metadata(path);
            let found = found.map_err(|source| DockerError::ReadProgram { path: path.to_owned(), source })?;
            Ok::<_, DockerError>(Stamp::of(&found))
        };
        let stamps = [stamp(programs.guard)?, stamp(programs.guest)?];
        let tag = match known::tag_of(data_dir, &stamps) {
            Some(tag) => tag,
            None => {
                let tag = tag(&Packable::read(programs, engine_arch)?.key);
                known::note(data_dir, stamps, &tag);
                tag
            }
        };
        let (guard, guest) = (programs.guard.to_owned(), programs.guest.to_owned());
        Ok(Self { tag, guard, guest, engine_arch: engine_arch.to_owned() })
    }
}

impl Packable {
    fn read(programs: Programs<'_>, engine_arch: &str) -> Result<Self, DockerError> {
        let (guard, arch) = read(programs.guard, engine_arch)?;
        let (guest, _) = read(programs.guest, engine_arch)?;
        let key = claude_bottle_kit::recipe::short_hash(&[b"5", &guard, &guest]);
        Ok(Self { guard, guest, key, arch })
    }
}

fn tag(key: &str) -> String {
    format!("{NAME}{key}")
}

/// ELF machine numbers, the engine's names for them, and Go's: <https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html>.
const MACHINES: &[(u16, &str, &str)] = &[(62, "x86_64", "amd64"), (183, "aarch64", "arm64")];

/// Returns the program's architecture by Go's name, if the engine runs it.
fn check_program(path: &Path, program: &[u8], engine_arch: &str) -> Result<&'static str, DockerError> {
    let machine = program.starts_with(b"\x7fELF").then(|| program.get(18..20)).flatten();
    let machine = machine.map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
    let known = MACHINES.iter().find(|(number, ..)| Some(*number) == machine);
    match known {
        Some((_, name, go)) if *name == engine_arch || *go == engine_arch => Ok(go),
        _ => Err(DockerError::ProgramArchitecture {
            path: PathBuf::from(path),
            found: known
                .map_or_else(|| "not a program for Linux".to_owned(), |(_, name, _)| (*name).to_owned()),
            wanted: engine_arch.to_owned(),
        }),
    }
}

/// Makes sure the image is in the engine, and returns its tag.
pub(crate) async fn ensure(engine: &impl Engine, call: &Call, image: GuardImage) -> Result<String> {
    let find = |source| DockerError::FindImage { reference: image.tag.clone(), source };
    if engine.image(&image.tag).await.map_err(find)?.is_some() {
        return Ok(image.tag);
    }
    let step = call.step("load-guard", "loading the egress guard into the engine");
    let packed = tokio::task::spawn_blocking(move || {
        let programs = Programs { guard: &image.guard, guest: &image.guest };
        let packable = Packable::read(programs, &image.engine_arch)?;
        // Not that of before, should a program have been replaced meanwhile.
        let archive = pack(&packable).map_err(|source| DockerError::CopyIn { source })?;
        Ok::<_, DockerError>((tag(&packable.key), archive))
    });
    let (tag, archive) = packed.await.failure(FailureKind::Internal, || "cannot pack the egress guard")??;
    let load = |source| DockerError::LoadImage { tag: tag.clone(), source };
    engine.load_image(archive.into()).await.map_err(load)?;
    step.done();
    Ok(tag)
}

/// Packs the image; the same programs give the same bytes.
fn pack(image: &Packable) -> Result<Vec<u8>, TreeError> {
    let entry = |mode| Entry { owner: (0, 0), mode, mtime: 0 };
    let mut layer = Vec::with_capacity(image.guard.len() + image.guest.len() + 8192);
    let mut writer = TarWriter::new(&mut layer);
    writer.file(Path::new(GUARD), entry(0o555), &image.guard)?;
    writer.dir(Path::new(LINK_DIR), entry(0o755))?;
    writer.dir(Path::new(SOCKET_DIR), Entry { owner: USER_IDS, ..entry(0o755) })?;
    writer.file(Path::new(GUEST), entry(0o555), &image.guest)?;
    command(&mut writer, entry(0o755))?;
    writer.finish()?;

    let config = json!({
        "architecture": image.arch,
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "User": USER,
            "Entrypoint": [GUARD],
            "Labels": { key::IMAGE_KEY: image.key },
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", hex(&Sha256::digest(&layer)))] },
        "history": [{ "created": "1970-01-01T00:00:00Z", "created_by": "claude-bottle egress-guard" }],
    })
    .to_string();
    let config_name = format!("{}.json", hex(&Sha256::digest(&config)));
    let manifest = json!([{ "Config": config_name, "RepoTags": [tag(&image.key)], "Layers": ["layer.tar"] }]);

    let mut archive = Vec::with_capacity(layer.len() + 8192);
    let mut writer = TarWriter::new(&mut archive);
    writer.file(Path::new("layer.tar"), entry(0o644), &layer)?;
    writer.file(Path::new(&config_name), entry(0o644), config.as_bytes())?;
    writer.file(Path::new("manifest.json"), entry(0o644), manifest.to_string().as_bytes())?;
    writer.finish()?;
    Ok(archive)
}

/// Adds the agent's command, which is a link to the program for the inside, with its directory.
pub(crate) fn command(writer: &mut TarWriter<'_>, entry: Entry) -> Result<(), TreeError> {
    let place = Path::new(COMMAND);
    if let Some(directory) = place.parent() {
        writer.dir(directory, entry)?;
    }
    writer.link(place, Entry { mode: 0o777, ..entry }, Path::new("../bottle-guest"))
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
        assert!(text(b"#!/bin/sh", "x86_64").contains("is not a program for Linux"));
        assert!(text(b"\x7fELF", "x86_64").contains("is not a program for Linux"));
    }

    /// The two programs in a directory, as files that can be replaced.
    struct Files(tempfile::TempDir);

    impl Files {
        fn new() -> Self {
            let files = Self(tempfile::tempdir().unwrap());
            files.write("guard", &program(62));
            files.write("guest", &program(62));
            files
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn write(&self, name: &str, content: &[u8]) {
            std::fs::write(self.path(name), content).unwrap();
        }

        fn with<T>(&self, use_programs: impl FnOnce(Programs<'_>) -> T) -> T {
            use_programs(Programs { guard: &self.path("guard"), guest: &self.path("guest") })
        }
    }

    #[test]
    fn the_same_programs_give_the_same_archive() {
        let files = Files::new();
        let read = || files.with(|programs| Packable::read(programs, "x86_64")).unwrap();
        assert_eq!(pack(&read()).unwrap(), pack(&read()).unwrap());
        let mut before = read().key;
        for name in ["guard", "guest"] {
            files.write(name, &[program(62), vec![0]].concat());
            let after = read().key;
            assert_ne!(after, before, "{name}");
            before = after;
        }
    }

    #[test]
    fn programs_are_read_again_only_after_a_change() {
        let files = Files::new();
        let data = files.path("data/docker");
        let find = || files.with(|programs| GuardImage::find(programs, "x86_64", &data)).unwrap().tag;
        let first = find();
        assert_eq!(known::tag(&data).as_deref(), Some(first.as_str()));
        // Their content is not looked at as long as they are the same files.
        let stamp = |name| Stamp::of(&files.path(name).metadata().unwrap());
        known::note(&data, [stamp("guard"), stamp("guest")], "claude-bottle-guard:noted");
        assert_eq!(find(), "claude-bottle-guard:noted");
        for name in ["guard", "guest"] {
            let before = find();
            files.write(name, &[program(62), vec![0]].concat());
            let second = find();
            assert!(second != before && second != "claude-bottle-guard:noted", "{second}");
            // Another file in its place, of the same length and age.
            let (path, other) = (files.path(name), files.path("other"));
            let times = path.metadata().unwrap().modified().unwrap();
            std::fs::write(&other, [program(62), vec![1]].concat()).unwrap();
            File::options().write(true).open(&other).unwrap().set_modified(times).unwrap();
            std::fs::rename(&other, &path).unwrap();
            assert_ne!(find(), second);
        }
        std::fs::write(data.join("guard-image.json"), "{").unwrap();
        assert!(find().starts_with(NAME));
    }
}
