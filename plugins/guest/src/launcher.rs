//! The stage on the host that becomes `bwrap`.
//!
//! It exists because some things must happen between the start of a process and `bwrap`, in a process of one
//! thread: descriptors that the user's shell left open are closed, control groups are joined, root is given up.
//!
//! Joining a control group can take ten milliseconds of waiting in the kernel, so the stage is started before anything
//! else, joins, and then reads what to become from its standard output, which is the reading end of a pipe.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, mkdirat, openat};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind_recursive, mount_change};
use rustix::process::{Gid, Signal, Uid, getppid, set_parent_process_death_signal};
use rustix::thread::{UnshareFlags, set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use serde::{Deserialize, Serialize};

use crate::error::StepExt;
use crate::{GuestError, caller, parent, seccomp};

/// The variable by which everything that is on its way into a bottle is found, on the host's side: the bottle's directory.
pub const MARK: &str = "CLAUDE_BOTTLE_DIR";

/// Where root's view of the sources is put together: a directory every machine has.
pub const SOURCES: &str = "/tmp";

/// What to become.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Outer {
    /// The `bwrap` program.
    pub program: PathBuf,
    /// Its arguments, but for the filter.
    pub arguments: Vec<String>,
    /// How root is given up; `None` for an ordinary user.
    #[serde(default)]
    pub drop: Option<DropRoot>,
}

/// How root is given up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DropRoot {
    /// The user and group to become. No other groups are kept.
    pub id: u32,
    /// Host paths that the user may not be able to reach, seen afterwards as `SOURCES/<index>`.
    pub sources: Vec<PathBuf>,
}

/// Joins the control groups, by their `cgroup.procs` files, and becomes `bwrap`.
///
/// # Errors
/// Returns only when that fails.
pub fn run(host: &OsString, groups: &[OsString]) -> Result<(), GuestError> {
    let host = host.to_str().and_then(|text| text.parse().ok()).ok_or(GuestError::ReadCommandLine)?;
    die_with(host, Signal::KILL)?;
    caller::forget()?;
    for group in groups {
        std::fs::write(group, "0")
            .step(|| format!("enter the control group `{}`", group.to_string_lossy()))?;
    }
    let outer = read()?;
    if let Some(drop_root) = &outer.drop {
        gather(&drop_root.sources)?;
        give_up_root(drop_root.id)?;
        // A change of user clears it.
        die_with(host, Signal::KILL)?;
    }
    let filter = filter_file()?;
    let mut command = Command::new(&outer.program);
    command.arg("--add-seccomp-fd").arg(filter.as_raw_fd().to_string()).args(&outer.arguments);
    // Whatever is still `bwrap` is told from others by it; what is started inside does not get it.
    let mark = std::env::var_os(MARK).map(|dir| (MARK, dir));
    command.env_clear().envs(mark).current_dir("/");
    parent::hold()?;
    let error = command.exec();
    Err(GuestError::RunProgram { program: outer.program.display().to_string(), source: error })
}

/// Reads what to become.
fn read() -> Result<Outer, GuestError> {
    let copy = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3);
    let mut text = Vec::new();
    let copy = copy.step(|| "take the description over")?;
    File::from(copy).read_to_end(&mut text).step(|| "read the description")?;
    serde_json::from_slice(&text).map_err(std::io::Error::from).step(|| "understand the description")
}

/// Becomes a program that is asked to end when its parent does.
///
/// # Errors
/// Returns only when that fails.
pub fn tied(parent: &OsString, command: &[OsString]) -> Result<(), GuestError> {
    let parent = parent.to_str().and_then(|text| text.parse().ok()).ok_or(GuestError::ReadCommandLine)?;
    let (program, arguments) = command.split_first().ok_or(GuestError::ReadCommandLine)?;
    die_with(parent, Signal::TERM)?;
    let error = Command::new(program).args(arguments).exec();
    Err(GuestError::RunProgram { program: program.to_string_lossy().into_owned(), source: error })
}

fn die_with(parent: u32, signal: Signal) -> Result<(), GuestError> {
    set_parent_process_death_signal(Some(signal)).step(|| "tie this process to its parent")?;
    // A parent in another process namespace has no number here.
    match getppid() {
        Some(pid) if pid.as_raw_nonzero().get().cast_unsigned() != parent => Err(GuestError::FindParent),
        _ => Ok(()),
    }
}

/// Makes a mount namespace in which an ordinary user reaches the sources, whatever directories they are in.
fn gather(sources: &[PathBuf]) -> Result<(), GuestError> {
    #[expect(deprecated, reason = "its replacement is unsafe because of another flag, FILES")]
    rustix::thread::unshare(UnshareFlags::NEWNS).step(|| "make a mount namespace")?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).step(|| "detach the mount namespace")?;
    let open = |path: &PathBuf| -> Result<OwnedFd, GuestError> {
        openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .step(|| format!("open `{}`", path.display()))
    };
    // Opened first, since a source may be below the directory that is covered next.
    let opened = sources.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("tmpfs", SOURCES, "tmpfs", flags, Some(c"mode=0755,size=1m")).step(|| "cover `/tmp`")?;
    for (index, source) in opened.iter().enumerate() {
        bind(source, index).step(|| format!("bind `{}`", sources[index].display()))?;
    }
    Ok(())
}

fn bind(source: &OwnedFd, index: usize) -> std::io::Result<()> {
    let target = format!("{SOURCES}/{index}");
    if rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(source)?.st_mode).is_dir() {
        mkdirat(CWD, &target, Mode::from_raw_mode(0o755))?;
    } else {
        File::create(&target)?;
    }
    Ok(mount_bind_recursive(format!("/proc/self/fd/{}", source.as_fd().as_raw_fd()), &target)?)
}

fn give_up_root(id: u32) -> Result<(), GuestError> {
    set_thread_groups(&[]).step(|| "give up root's groups")?;
    let gid = Gid::from_raw(id);
    set_thread_res_gid(gid, gid, gid).step(|| "give up root's group")?;
    let uid = Uid::from_raw(id);
    set_thread_res_uid(uid, uid, uid).step(|| "give up root")
}

/// Returns the filter in memory, in a descriptor that `bwrap` inherits.
fn filter_file() -> Result<File, GuestError> {
    let filter = seccomp::filter()?;
    let make = || -> std::io::Result<File> {
        let mut file = File::from(rustix::fs::memfd_create("claude-bottle-seccomp", MemfdFlags::empty())?);
        file.write_all(&filter)?;
        file.rewind()?;
        Ok(file)
    };
    make().step(|| "hold the system call filter")
}
