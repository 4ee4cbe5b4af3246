//! What a `start` that is held tells its holder, over a pipe that it was given: which run it is, and that the agent runs.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::Held;

/// The pipe to the holder.
#[derive(Debug)]
pub struct Told(Mutex<File>);

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum News {
    /// The record of this run is written.
    Run(String),
    /// The agent runs.
    Running(Held),
}

impl Told {
    /// Opens the pipe. To be called while the descriptor that is named is still this process's.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(Mutex::new(File::options().write(true).open(path)?)))
    }

    /// Tells. A holder that is gone needs to know nothing.
    pub fn tell(&self, news: &News) {
        let line = serde_json::to_vec(news).map(|mut line| {
            line.push(b'\n');
            line
        });
        let mut pipe = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match line.map_err(io::Error::other).and_then(|line| pipe.write_all(&line)) {
            Ok(()) => {}
            Err(error) => tracing::debug!(%error, "tell the holder"),
        }
    }
}

/// The holder's end: lines as they come.
#[derive(Debug, Default)]
pub(super) struct Lines(Vec<u8>);

impl Lines {
    /// Adds bytes, and returns the news that are whole.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<News> {
        self.0.extend_from_slice(bytes);
        let mut news = Vec::new();
        while let Some(end) = self.0.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.0.drain(..=end).collect();
            match serde_json::from_slice(&line) {
                Ok(one) => news.push(one),
                Err(error) => tracing::debug!(%error, "what `start` told"),
            }
        }
        news
    }
}

/// Names a descriptor of this process's as a path.
pub(super) fn path(descriptor: i32) -> PathBuf {
    PathBuf::from(format!("/dev/fd/{descriptor}"))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn news_arrive_as_they_were_told() {
        let (readable, writable) = rustix::pipe::pipe().unwrap();
        let told = Told::open(&path(writable.as_raw_fd())).unwrap();
        let all = [
            News::Run("run-1".to_owned()),
            News::Running(Held { run: "run-1".to_owned(), name: "a\nb".to_owned() }),
        ];
        all.iter().for_each(|news| told.tell(news));
        drop((told, writable));
        let mut bytes = Vec::new();
        File::from(readable).read_to_end(&mut bytes).unwrap();
        let mut lines = Lines::default();
        let found: Vec<_> = bytes.chunks(7).flat_map(|part| lines.push(part)).collect();
        assert_eq!(found, all);
    }
}
