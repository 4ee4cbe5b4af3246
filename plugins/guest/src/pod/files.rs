//! Files of the bottle, in and out: archives that process 1 unpacks and packs as the agent's user.

use std::fs::{self, Metadata, OpenOptions, Permissions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, OFlags, Timespec, Timestamps, UTIME_OMIT, utimensat};
use sha2::{Digest, Sha256};
use tar::{Archive, Builder, Entry, EntryType, Header};

use super::frame::{Kind, PIECE};
use super::server::Channel;
use super::verbs::Outcome;
use crate::container::init::write;
use crate::protocol::SetupFile;

/// The name of an entry that holds the target of the next one, as GNU tar has it.
const LONG_LINK: &[u8] = b"././@LongLink";

/// Writes files of the agent's.
pub(super) fn write_own(files: &[SetupFile]) -> io::Result<()> {
    files.iter().try_for_each(write)
}

/// Unpacks the input below a directory. All of it gets this process's user, and the modes of the archive.
pub(super) fn put(directory: &Path, channel: &Channel) -> Result<Outcome, String> {
    let mut input = Counted::new(channel.input());
    let unpack_all = |input: &mut Counted<_>| -> io::Result<()> {
        fs::create_dir_all(directory)?;
        let mut archive = Archive::new(BufReader::with_capacity(PIECE, &mut *input));
        archive.set_preserve_permissions(true);
        archive.set_preserve_mtime(true);
        archive.set_overwrite(true);
        archive.set_unpack_xattrs(false);
        archive.set_preserve_ownerships(false);
        // Directories last, the innermost first: one that may not be written to is filled all the same, and keeps its time.
        let mut directories = Vec::new();
        for entry in archive.entries()? {
            let mut entry = entry?;
            let target = directory.join(entry.path()?);
            // One that is there and not ours, such as `/home`, stays as it is.
            let is_foreign = |found: Metadata| found.is_dir() && !is_own(&found);
            if entry.header().entry_type().is_dir() && fs::symlink_metadata(&target).is_ok_and(is_foreign) {
                continue;
            }
            if entry.header().entry_type().is_dir() {
                directories.push(entry);
                continue;
            }
            unpack(&mut entry, directory)?;
        }
        directories.sort_by(|one, other| other.path_bytes().cmp(&one.path_bytes()));
        for entry in &mut directories {
            unpack(entry, directory)?;
            keep_time(entry, directory)?;
        }
        drop(directories);
        drop(archive);
        // The end of the archive is not that of the input.
        io::copy(input, &mut io::sink()).map(drop)
    };
    unpack_all(&mut input)
        .map_err(|error| format!("cannot unpack into `{}`: {}", directory.display(), chain(&error)))?;
    Ok(input.outcome())
}

/// Unpacks an entry, if its path stays in the directory.
fn unpack(entry: &mut Entry<'_, impl Read>, directory: &Path) -> io::Result<()> {
    if entry.unpack_in(directory)? {
        return Ok(());
    }
    let text = format!("`{}` leads out of the directory", entry.path()?.display());
    Err(io::Error::new(io::ErrorKind::InvalidData, text))
}

/// Gives a directory the time of its entry, which the library does for files alone.
fn keep_time(entry: &Entry<'_, impl Read>, directory: &Path) -> io::Result<()> {
    let tv_sec = i64::try_from(entry.header().mtime()?).map_err(io::Error::other)?;
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec, tv_nsec: 0 },
    };
    Ok(utimensat(CWD, directory.join(entry.path()?), &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Packs a file or directory, under its own name.
pub(super) fn get(path: &Path, channel: &Arc<Channel>) -> Result<Outcome, String> {
    let failed = |error: io::Error| format!("cannot pack `{}`: {}", path.display(), chain(&error));
    if !is_there(path).map_err(failed)? {
        return Ok(Outcome::Missing);
    }
    let name = path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
    let output = BufWriter::with_capacity(PIECE, Counted::new(Output(channel)));
    let mut builder = Builder::new(output);
    pack(&mut builder, path, Path::new(name)).map_err(failed)?;
    let output = builder.into_inner().and_then(|output| Ok(output.into_inner()?)).map_err(failed)?;
    Ok(output.outcome())
}

/// Returns `true` if a path leads to something, by no link that is the agent's.
fn is_there(path: &Path) -> io::Result<bool> {
    for part in path.ancestors().collect::<Vec<_>>().into_iter().rev() {
        match fs::symlink_metadata(part) {
            Ok(found) if found.is_symlink() && is_own(&found) => return Ok(false),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn is_own(found: &Metadata) -> bool {
    found.uid() == rustix::process::getuid().as_raw()
}

/// Packs one entry and what is in it. What is neither file, directory nor link is left out.
fn pack(builder: &mut Builder<impl Write>, path: &Path, name: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    let mut header = Header::new_gnu();
    header.set_metadata(&found);
    if found.is_symlink() {
        header.set_size(0);
        return append_link(builder, &mut header, name, fs::read_link(path)?.as_os_str().as_bytes());
    }
    if found.is_file() {
        header.set_entry_type(EntryType::Regular);
        return with_access(path, &found, 0o400, || {
            let flags = OFlags::NOFOLLOW.bits().cast_signed();
            let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
            // What was there when it was looked at is what is packed; nothing changes it any more.
            builder.append_data(&mut header, name, file.take(found.len()))
        });
    }
    if !found.is_dir() {
        return Ok(());
    }
    header.set_size(0);
    builder.append_data(&mut header, name, io::empty())?;
    with_access(path, &found, 0o500, || {
        let mut entries = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by(|a, b| a.file_name().as_bytes().cmp(b.file_name().as_bytes()));
        entries.iter().try_for_each(|entry| pack(builder, &entry.path(), &name.join(entry.file_name())))
    })
}

/// Adds a symbolic link whose target is written byte for byte, in an entry of its own before it: the library would leave `.` and empty parts out.
fn append_link(
    builder: &mut Builder<impl Write>,
    header: &mut Header,
    name: &Path,
    target: &[u8],
) -> io::Result<()> {
    let mut long = Header::new_gnu();
    long.as_old_mut().name[..LONG_LINK.len()].copy_from_slice(LONG_LINK);
    long.set_entry_type(EntryType::GNULongLink);
    long.set_size(target.len() as u64 + 1);
    long.set_cksum();
    builder.append(&long, target.chain(&b"\0"[..]))?;
    builder.append_data(header, name, io::empty())
}

/// Opens to its own user what was closed to it, for as long as it is read.
fn with_access<T>(
    path: &Path,
    found: &Metadata,
    needed: u32,
    read: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    let mode = found.mode() & 0o7777;
    if mode & needed == needed || !is_own(found) {
        return read();
    }
    fs::set_permissions(path, Permissions::from_mode(mode | needed))?;
    let done = read();
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    done
}

/// Returns an error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

/// A stream whose bytes are counted and hashed.
struct Counted<S> {
    stream: S,
    bytes: u64,
    hash: Sha256,
}

impl<S> Counted<S> {
    fn new(stream: S) -> Self {
        Self { stream, bytes: 0, hash: Sha256::new() }
    }

    fn count(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.hash.update(bytes);
    }

    fn outcome(self) -> Outcome {
        let sha256 = self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Outcome::Moved { bytes: self.bytes, sha256 }
    }
}

impl<S: Read> Read for Counted<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.stream.read(buffer)?;
        self.count(&buffer[..length]);
        Ok(length)
    }
}

impl<S: Write> Write for Counted<S> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let length = self.stream.write(buffer)?;
        self.count(&buffer[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// The output of a call.
struct Output<'c>(&'c Arc<Channel>);

impl Write for Output<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let length = buffer.len().min(PIECE);
        self.0.send(Kind::Out, buffer[..length].to_vec())?;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
