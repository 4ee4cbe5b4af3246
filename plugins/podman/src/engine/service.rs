//! A `podman system service` of this user's, started where no socket answers. Runs share it, and it ends by itself a moment after
//! the last request; containers do not depend on it.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use claude_bottle_kit::bwrap::find_on_path;
use claude_bottle_kit::printable;
use rustix::fs::{FlockOperation, flock};
use rustix::process::geteuid;

use crate::error::PodmanError;

/// After how many seconds without a request the service ends by itself.
const IDLE: &str = "--time=5";

/// How long the service may take to listen. Rootless, the first start makes the user's storage.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(10);

/// The service, which ends by itself when it gets no requests.
#[derive(Debug)]
pub(crate) struct Service {
    /// The directory of its socket, its lock and its standard error.
    dir: PathBuf,
}

impl Service {
    /// Returns the service, which is not started yet. Its directory is in the user's runtime directory, or else in that for temporary files.
    pub(crate) fn new(environment: &dyn Fn(&str) -> Option<String>) -> Self {
        let user = geteuid();
        let runtime = environment("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let runtime = if user.is_root() { Some("/run".into()) } else { runtime };
        let name = format!("claude-bottle-podman-{}", user.as_raw());
        Self { dir: runtime.unwrap_or_else(std::env::temp_dir).join(name) }
    }

    /// Returns where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.join("podman.sock")
    }

    /// Connects to it, and starts it first when it does not run.
    pub(crate) fn connect(&self) -> Result<UnixStream, PodmanError> {
        if let Ok(stream) = UnixStream::connect(self.socket()) {
            return Ok(stream);
        }
        let podman = find_on_path("podman").ok_or(PodmanError::FindPodman)?;
        let failed = |source| PodmanError::StartService { source };
        let _lock = self.lock().map_err(failed)?;
        // Another run may just have started it.
        if let Ok(stream) = UnixStream::connect(self.socket()) {
            return Ok(stream);
        }
        let service = self.start(&podman).map_err(failed)?;
        self.listening(service)
    }

    fn lock(&self) -> io::Result<File> {
        self.make_dir()?;
        let lock = File::create(self.dir.join("lock"))?;
        flock(&lock, FlockOperation::LockExclusive)?;
        Ok(lock)
    }

    /// Makes the directory; one that is there has to be this user's alone, since others may write next to it.
    fn make_dir(&self) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made,
        }
        let found = fs::symlink_metadata(&self.dir)?;
        let is_own = found.is_dir() && found.uid() == geteuid().as_raw() && found.mode() & 0o077 == 0;
        if is_own { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }

    fn start(&self, podman: &Path) -> io::Result<Child> {
        fs::remove_file(self.socket()).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?;
        let address = format!("unix://{}", self.socket().display());
        let mut command = Command::new(podman);
        command.args(["system", "service", IDLE, &address]).stdin(Stdio::null()).stdout(Stdio::null());
        if !self.dir.starts_with(std::env::temp_dir()) {
            // The service is another run's too, and may outlive what this one has for temporary files.
            command.env_remove("TMPDIR");
        }
        // Not in the terminal's foreground: ^C is the agent's, or the host's.
        command.stderr(File::create(self.said())?).process_group(0).current_dir("/").spawn()
    }

    fn said(&self) -> PathBuf {
        self.dir.join("said")
    }

    /// Waits until it listens, and leaves a thread to take its exit status.
    fn listening(&self, mut service: Child) -> Result<UnixStream, PodmanError> {
        let begun = Instant::now();
        loop {
            if let Ok(stream) = UnixStream::connect(self.socket()) {
                std::thread::spawn(move || service.wait());
                return Ok(stream);
            }
            let has_ended = !matches!(service.try_wait(), Ok(None));
            if has_ended || begun.elapsed() > PATIENCE {
                // One that has ended needs neither.
                service.kill().ok();
                service.wait().ok();
                let said = fs::read(self.said()).unwrap_or_default();
                return Err(PodmanError::ServiceNotReady {
                    said: printable(String::from_utf8_lossy(&said).trim()),
                });
            }
            std::thread::sleep(LOOK);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_directory_that_others_may_enter_or_a_link_is_not_taken() {
        let place = tempfile::tempdir().unwrap();
        let service = |name: &str| Service { dir: place.path().join(name) };
        service("own").make_dir().unwrap();
        service("own").make_dir().unwrap();
        fs::set_permissions(place.path().join("own"), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(service("own").make_dir().is_err());
        std::os::unix::fs::symlink("/root", place.path().join("link")).unwrap();
        assert!(service("link").make_dir().is_err());
    }
}
