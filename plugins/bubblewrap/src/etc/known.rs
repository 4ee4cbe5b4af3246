//! What packages brought into `/etc`, as the databases of package managers say: names, and digests of the content.
//!
//! A file whose content is what its package brought is the same on every machine with that package. So it can hold
//! neither a secret nor a name of this machine.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use md5::Md5;
use sha2::{Digest, Sha256};

use super::Host;

/// The databases, below the host's root. Their times are part of a snapshot's key.
pub(super) const DATABASES: [&str; 5] = [
    "var/lib/dpkg/status",
    "var/lib/ucf/hashfile",
    "var/lib/pacman/local",
    "var/lib/rpm/rpmdb.sqlite",
    "usr/lib/sysimage/rpm/rpmdb.sqlite",
];

/// The digests of every known file, by its path below `/etc`; a file may have had several versions.
#[derive(Debug, Default)]
pub(super) struct Known(HashMap<String, Vec<String>>);

/// What the databases say about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its content is what its package brought.
    Brought,
    /// A package brought it, and its content is another now.
    Changed,
    /// No package brought it.
    Local,
}

impl Known {
    /// Reads every database of the host. The files of one that is missing or cannot be read stay out.
    pub(super) fn read(host: &Host) -> Self {
        let mut known = Self::default();
        let text = |path: &str| fs::read(host.root.join(path)).unwrap_or_default();
        known.add_dpkg(&String::from_utf8_lossy(&text(DATABASES[0])));
        known.add_ucf(&String::from_utf8_lossy(&text(DATABASES[1])));
        for package in fs::read_dir(host.root.join(DATABASES[2])).into_iter().flatten().flatten() {
            let files = fs::read(package.path().join("files")).unwrap_or_default();
            known.add_pacman(&String::from_utf8_lossy(&files));
        }
        if DATABASES[3..].iter().any(|database| host.root.join(database).exists()) {
            known.add_rpm(&ask_rpm(&host.root));
        }
        known
    }

    /// Returns `true` if a file is as its package brought it.
    pub(super) fn verdict(&self, name: &str, content: &[u8]) -> Verdict {
        let Some(digests) = self.0.get(name) else { return Verdict::Local };
        let is = |digest: &String| match digest.len() {
            32 => *digest == hex(&Md5::digest(content)),
            64 => *digest == hex(&Sha256::digest(content)),
            _ => false,
        };
        if digests.iter().any(is) { Verdict::Brought } else { Verdict::Changed }
    }

    /// `Conffiles:` of <https://manpages.debian.org/dpkg-query>: a path, an MD5 sum, and perhaps a word.
    fn add_dpkg(&mut self, text: &str) {
        let mut is_list = false;
        for line in text.lines() {
            match line.strip_prefix(' ') {
                None => is_list = line == "Conffiles:",
                Some(entry) if is_list => self.add_line(entry.split_whitespace()),
                Some(_) => {}
            }
        }
    }

    /// `ucf` keeps what maintainer scripts install: an MD5 sum and a path.
    fn add_ucf(&mut self, text: &str) {
        text.lines().for_each(|line| self.add_line(line.split_whitespace().rev()));
    }

    /// `%BACKUP%` of pacman: a path without its first slash, and an MD5 sum.
    fn add_pacman(&mut self, text: &str) {
        let backup = text.lines().skip_while(|line| *line != "%BACKUP%").skip(1);
        for line in backup.take_while(|line| !line.starts_with('%')) {
            self.add_line(format!("/{line}").split('\t'));
        }
    }

    /// `rpm --dump`: path, size, time, digest, and more.
    fn add_rpm(&mut self, text: &str) {
        for line in text.lines() {
            let mut words = line.split(' ');
            let path = words.next().unwrap_or_default();
            self.add_line([path].into_iter().chain(words.nth(2)));
        }
    }

    fn add_line<'a>(&mut self, words: impl IntoIterator<Item = &'a str>) {
        let mut words = words.into_iter();
        let (Some(path), Some(digest)) = (words.next(), words.next()) else { return };
        if let Some(name) = super::relative(Path::new(path)) {
            self.0.entry(name.to_owned()).or_default().push(digest.to_owned());
        }
    }
}

/// The database of rpm is read by rpm alone; it takes a second, once after each change of the packages.
fn ask_rpm(root: &Path) -> String {
    let mut rpm = Command::new("/usr/bin/rpm");
    rpm.arg("--root").arg(root).args(["--query", "--all", "--configfiles", "--dump"]);
    rpm.env_clear().current_dir("/").stdin(Stdio::null()).stderr(Stdio::null());
    rpm.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY_MD5: &str = "d41d8cd98f00b204e9800998ecf8427e";
    const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn check(known: &Known, name: &str, content: &str, expected: Verdict) {
        assert_eq!(known.verdict(name, content.as_bytes()), expected, "{name} {content:?}: {known:?}");
    }

    #[test]
    fn each_manager_says_what_it_brought() {
        let mut dpkg = Known::default();
        dpkg.add_dpkg(&format!(
            "Package: maven\nStatus: install ok installed\nConffiles:\n /etc/maven/m2.conf {EMPTY_MD5}\n \
             /etc/old {EMPTY_MD5} obsolete\n /opt/x {EMPTY_MD5}\nDescription: build\n /etc/none {EMPTY_MD5}\n"
        ));
        let mut ucf = Known::default();
        ucf.add_ucf(&format!("{EMPTY_MD5}  /etc/php/8.2/cli/php.ini\n"));
        let mut pacman = Known::default();
        pacman.add_pacman(&format!(
            "%FILES%\netc/\netc/none\n\n%BACKUP%\netc/java-openjdk/x\t{EMPTY_MD5}\n\n%X%\n"
        ));
        let mut rpm = Known::default();
        rpm.add_rpm(&format!(
            "/etc/java/a.conf 0 1700000000 {EMPTY_SHA256} 0100644 root root 1 0 0 X\n(contains no files)\n"
        ));
        for (known, name) in [
            (&dpkg, "maven/m2.conf"),
            (&dpkg, "old"),
            (&ucf, "php/8.2/cli/php.ini"),
            (&pacman, "java-openjdk/x"),
            (&rpm, "java/a.conf"),
        ] {
            check(known, name, "", Verdict::Brought);
            check(known, name, "x", Verdict::Changed);
            check(known, "none", "", Verdict::Local);
        }
    }
}
