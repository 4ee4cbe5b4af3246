//! Where the values of secrets come from besides questions and variables: a file, or what a command prints.

use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use claude_bottle_plugin_api::Secret;
use zeroize::{Zeroize, Zeroizing};

/// Largest value that is read; more is not a secret.
const MAX_READ: u64 = 64 * 1024;
/// How long a command may take. One that asks on its terminal gets no answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked whether it has ended.
const PAUSE: Duration = Duration::from_millis(10);

/// The shortest and the longest value.
const LENGTHS: std::ops::RangeInclusive<usize> = 8..=16 * 1024;

/// Why there is no value. Says nothing of what was read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// The file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which.
        path: std::path::PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Standard input cannot be read.
    #[error("cannot read standard input")]
    ReadInput {
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The program cannot be started.
    #[error("cannot run `{program}`")]
    Run {
        /// Its first word.
        program: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It failed.
    #[error("`{program}` failed with {status}")]
    Failed {
        /// Its first word.
        program: String,
        /// How.
        status: std::process::ExitStatus,
    },
    /// It did not end.
    #[error("`{program}` did not end within {} seconds", PATIENCE.as_secs())]
    Hung {
        /// Its first word.
        program: String,
    },
    /// It is much.
    #[error("it is longer than {} KiB", MAX_READ / 1024)]
    TooMuch,
    /// No credential looks like it.
    #[error("it is not {} to {} visible characters of ASCII", LENGTHS.start(), LENGTHS.end())]
    NotACredential,
}

/// Reads all that there is, without the end of its last line.
pub fn of_reader(reader: impl Read) -> Result<Secret, ValueError> {
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_READ as usize + 1));
    reader.take(MAX_READ + 1).read_to_end(&mut text).map_err(|source| ValueError::ReadInput { source })?;
    line(text)
}

/// Reads a file, without the end of its last line.
pub fn of_file(path: &Path) -> Result<Secret, ValueError> {
    let failed = |source| ValueError::Read { path: path.to_owned(), source };
    let (file, _) = crate::manifest::open_regular(path).map_err(failed)?;
    let mut text = Zeroizing::new(Vec::with_capacity(4096));
    file.take(MAX_READ + 1).read_to_end(&mut text).map_err(failed)?;
    line(text)
}

/// Returns `true` if others than its owner may read a file.
pub fn is_open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o044 != 0)
}

/// Runs a command without a shell, in the home directory and without input, and returns what it prints.
pub fn of_command(words: &[String], home: &Path) -> Result<Secret, ValueError> {
    let program = words.first().cloned().unwrap_or_default();
    let failed = |source| ValueError::Run { program: program.clone(), source };
    let mut command = Command::new(&program);
    command.args(words.get(1..).unwrap_or_default()).current_dir(home);
    // What it says besides is for nobody: it may name the value.
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(failed)?;
    let output = child.stdout.take();
    let (sender, said) = mpsc::channel();
    // It goes on when something that the command has started keeps the output open; nobody waits for it then.
    thread::spawn(move || {
        let mut text = Zeroizing::new(Vec::with_capacity(4096));
        let read = output.map_or(Ok(0), |output| output.take(MAX_READ + 1).read_to_end(&mut text));
        sender.send(read.map(|_| text)).ok();
    });
    let until = Instant::now() + PATIENCE;
    let text = said.recv_timeout(PATIENCE);
    let is_much = matches!(&text, Ok(Ok(text)) if text.len() as u64 > MAX_READ);
    let status = if is_much || text.is_err() { None } else { wait(&mut child, until).map_err(failed)? };
    let Some(status) = status else {
        end(&mut child);
        return Err(if is_much { ValueError::TooMuch } else { ValueError::Hung { program } });
    };
    if !status.success() {
        return Err(ValueError::Failed { program, status });
    }
    match text {
        Ok(Ok(text)) => line(text),
        Ok(Err(source)) => Err(failed(source)),
        Err(_) => Err(ValueError::Hung { program }),
    }
}

/// Waits for the end, until then.
fn wait(child: &mut Child, until: Instant) -> io::Result<Option<std::process::ExitStatus>> {
    loop {
        match child.try_wait()? {
            None if Instant::now() < until => thread::sleep(PAUSE),
            other => return Ok(other),
        }
    }
}

fn end(child: &mut Child) {
    child.kill().ok();
    child.wait().ok();
}

/// Takes what was read as one line.
fn line(mut text: Zeroizing<Vec<u8>>) -> Result<Secret, ValueError> {
    if text.len() as u64 > MAX_READ {
        return Err(ValueError::TooMuch);
    }
    if text.last() == Some(&b'\n') {
        text.pop();
        if text.last() == Some(&b'\r') {
            text.pop();
        }
    }
    let value = Secret::new(std::mem::take(&mut *text));
    text.zeroize();
    check(&value).map(|()| value)
}

/// Fails for what no credential looks like: a guard could not put it into a request as it is.
pub fn check(value: &Secret) -> Result<(), ValueError> {
    let bytes = value.expose();
    let is_one = LENGTHS.contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
    if is_one { Ok(()) } else { Err(ValueError::NotACredential) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    fn said(command: &[&str]) -> Result<Vec<u8>, String> {
        let value = of_command(&words(command), Path::new("/"));
        value.map(|value| value.expose().to_vec()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_command_prints_a_value_and_nothing_of_it_is_in_an_error() {
        assert_eq!(said(&["printf", "canary-value\n"]).unwrap(), b"canary-value");
        assert_eq!(
            said(&["sh", "-c", "cat; echo canary-err >&2; echo canary-value"]).unwrap(),
            b"canary-value"
        );
        assert_eq!(said(&["pwd"]), Err("it is not 8 to 16384 visible characters of ASCII".to_owned()));
        let cases: [(&[&str], &str); 6] = [
            (&["printf", "canary\nvalue"], "visible"),
            (&["printf", "canary\\0value"], "visible"),
            (&["echo", "short"], "visible"),
            (&["sh", "-c", "echo canary-value; exit 3"], "exit status: 3"),
            (&["sh", "-c", "exec yes canary"], "longer than 64 KiB"),
            (&["/nonexistent/program"], "cannot run"),
        ];
        for (command, reason) in cases {
            let error = said(command).unwrap_err();
            assert!(error.contains(reason) && !error.contains("canary"), "{command:?}: {error}");
        }
    }

    #[test]
    fn a_file_holds_a_value_in_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        for (text, expected) in [
            ("canary-value", Some("canary-value")),
            ("canary-value\r\n", Some("canary-value")),
            ("canary-value\n\n", None),
            ("", None),
        ] {
            std::fs::write(&path, text).unwrap();
            let value = of_file(&path).ok().map(|value| String::from_utf8(value.expose().to_vec()).unwrap());
            assert_eq!(value.as_deref(), expected, "{text:?}");
        }
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        assert!(!is_open_to_others(&path));
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
        assert!(is_open_to_others(&path));
        assert!(of_file(dir.path()).is_err());
    }
}
