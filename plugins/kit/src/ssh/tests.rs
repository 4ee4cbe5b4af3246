//! Keys made by the real ssh-keygen, and settings read by the real ssh.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Makes a key; `more` are arguments of ssh-keygen.
fn make(dir: &Path, name: &str, more: &[&str]) -> PathBuf {
    let path = dir.join(name);
    let text = path.to_str().unwrap();
    run("ssh-keygen", &[&["-q", "-N", "", "-f", text], more].concat());
    path
}

fn public(path: &Path) -> String {
    let text = std::fs::read_to_string(path.with_extension("pub")).unwrap();
    text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

fn files(entries: &[SshEntry]) -> Result<Vec<ClientFile>> {
    let proxy = |host: &str| format!("way {host} %p");
    client_files(entries, Way { agent_socket: "/agent.sock", proxy_command: &proxy })
}

fn content<'f>(files: &'f [ClientFile], name: &str) -> &'f str {
    &files.iter().find(|file| file.name == name).unwrap().content
}

/// Returns what the real ssh makes of the settings for a host.
fn resolved(dir: &Path, files: &[ClientFile], host: &str) -> Vec<String> {
    let path = dir.join("config");
    std::fs::write(&path, content(files, "config")).unwrap();
    run("ssh", &["-G", "-F", path.to_str().unwrap(), host]).lines().map(str::to_owned).collect()
}

#[test]
fn each_host_gets_its_own_key_whatever_its_type() {
    let dir = tempfile::tempdir().unwrap();
    let work = make(dir.path(), "work", &["-t", "ed25519"]);
    let home = make(dir.path(), "home", &["-t", "rsa", "-b", "2048"]);
    let other = make(dir.path(), "other", &["-t", "ecdsa"]);
    let entries = [
        SshEntry::new("github-work", "github.com", &work),
        SshEntry::new("github-home", "github.com", &home),
        SshEntry::new("again", "git.test", &work),
        SshEntry::new("other", "other.test", &other),
    ];
    // The public parts come from the keys themselves.
    let publics = [public(&work), public(&home), public(&other)];
    for key in [&work, &home, &other] {
        std::fs::remove_file(key.with_extension("pub")).unwrap();
    }
    let files = files(&entries).unwrap();
    assert_eq!(files.len(), 5);
    for (host, key) in [("github-work", 1), ("github-home", 2), ("again", 1), ("git.test", 1), ("other", 3)] {
        let settings = resolved(dir.path(), &files, host);
        let identity = format!("identityfile ~/.ssh/claude-bottle-{key}.pub");
        assert_eq!(
            settings.iter().filter(|line| line.starts_with("identityfile")).count(),
            1,
            "{settings:?}"
        );
        for expected in [&*identity, "identitiesonly yes", "identityagent /agent.sock"] {
            assert!(settings.iter().any(|line| line == expected), "{host}: {expected} in {settings:?}");
        }
    }
    for (index, public) in publics.iter().enumerate() {
        let name = format!("claude-bottle-{}.pub", index + 1);
        assert_eq!(content(&files, &name), format!("{public}\n"));
    }
}

#[test]
fn a_pem_key_needs_its_public_part_only_next_to_another_key() {
    let dir = tempfile::tempdir().unwrap();
    let pem = make(dir.path(), "pem", &["-t", "rsa", "-b", "2048", "-m", "PEM"]);
    let other = make(dir.path(), "other", &["-t", "ed25519"]);
    let mut entries = vec![SshEntry::new("a", "a.test", &pem), SshEntry::new("b", "b.test", &other)];
    let public = public(&pem);
    assert_eq!(content(&files(&entries).unwrap(), "claude-bottle-1.pub"), format!("{public}\n"));
    for wrong in ["", "ssh-rsa", "ssh-rsa AAAA", "ssh-ed25519 hello"] {
        std::fs::write(pem.with_extension("pub"), wrong).unwrap();
        let failure = files(&entries).unwrap_err();
        assert!(failure.hints[0].starts_with("write it next to the key: ssh-keygen -y"), "{failure}");
    }
    entries.pop();
    let alone = files(&entries).unwrap();
    assert!(!content(&alone, "config").contains("Identities"), "{alone:?}");
}

#[test]
fn line_ends_of_other_systems_are_put_right() {
    let dir = tempfile::tempdir().unwrap();
    let path = make(dir.path(), "id", &["-t", "ed25519"]);
    let text = std::fs::read_to_string(&path).unwrap();
    for odd in [text.replace('\n', "\r\n"), text.trim_end().to_owned()] {
        std::fs::write(&path, odd).unwrap();
        let entries = [SshEntry::new("a", "a.test", &path), SshEntry::new("b", "b.test", &path)];
        let keys = private_keys(&entries).unwrap();
        assert_eq!(keys.len(), 1);
        assert_eq!(String::from_utf8_lossy(&keys[0].text), text);
    }
}

#[test]
fn what_is_locked_or_not_a_key_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let check = |path: &Path, expected: &str| {
        let failure = check(&[SshEntry::new("a", "a.test", path)]).unwrap_err();
        assert!(failure.message.contains(expected), "{failure}");
        assert!(failure.message.contains(&path.display().to_string()), "{failure}");
    };
    for format in ["RFC4716", "PEM", "PKCS8"] {
        let path = dir.path().join(format);
        let words =
            ["-q", "-N", "locked", "-t", "rsa", "-b", "2048", "-m", format, "-f", path.to_str().unwrap()];
        run("ssh-keygen", &words);
        check(&path, "has a passphrase");
        check(&path.with_extension("pub"), "is not a private key");
    }
    let path = dir.path().join("text");
    for text in
        ["hello", "", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"]
    {
        std::fs::write(&path, text).unwrap();
        check(&path, "is not a private key");
    }
    check(&dir.path().join("missing"), "cannot read the key");
}

#[test]
fn a_word_cannot_smuggle_a_setting() {
    let entry = SshEntry::new("forge", "git.example", "/k");
    assert!(config::check_words(&entry).is_ok());
    for wrong in
        ["a b", "a\nProxyCommand x", "", "%h", "-oProxyCommand=x", "a\"b", "a,b", "*", "[::1", "[a b]"]
    {
        let mut wrongs = [entry.clone(), entry.clone(), entry.clone()];
        wrongs[0].host = wrong.to_owned();
        wrongs[1].hostname = wrong.to_owned();
        wrongs[2].user = wrong.to_owned();
        assert!(wrongs.iter().all(|entry| config::check_words(entry).is_err()), "{wrong:?}");
    }
    for wrong in ["ssh-ed25519", "none", "@cert-authority * ssh-ed25519 AAAA", "ssh-ed25519 AAAA\nx"] {
        let mut entry = entry.clone();
        entry.known_host_key = Some(wrong.to_owned());
        assert!(config::check_words(&entry).is_err(), "{wrong:?}");
    }
}

#[test]
fn an_address_of_ipv6_is_written_as_ssh_reads_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = make(dir.path(), "id", &["-t", "ed25519"]);
    for hostname in ["2001:db8::1", "[2001:db8::1]"] {
        let mut entry = SshEntry::new("forge", hostname, &path);
        entry.known_host_key = Some("git.example.com ssh-ed25519 AAAA comment".to_owned());
        entry.port = 2222;
        let files = files(std::slice::from_ref(&entry)).unwrap();
        assert_eq!(content(&files, "known_hosts"), "[2001:db8::1]:2222 ssh-ed25519 AAAA\n");
        let settings = resolved(dir.path(), &files, "forge");
        for expected in ["hostname 2001:db8::1", "port 2222", "proxycommand way 2001:db8::1 %p"] {
            assert!(settings.iter().any(|line| line == expected), "{expected} in {settings:?}");
        }
        entry.port = 22;
        assert_eq!(config::known_hosts(&[entry]).unwrap(), "2001:db8::1 ssh-ed25519 AAAA\n");
    }
}
