//! Snapshots of machines in directories: what comes in, what stays out, and when one is made again.

use std::os::unix::fs::MetadataExt;

use super::*;

/// A machine in a directory, whose files belong to the user of the tests.
struct Machine {
    dir: tempfile::TempDir,
    host: Host,
    dpkg: String,
}

impl Machine {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let owner = fs::metadata(dir.path()).unwrap().uid();
        fs::create_dir(dir.path().join("etc")).unwrap();
        let host = Host { root: dir.path().to_owned(), owner };
        Self { dir, host, dpkg: "Package: x\nConffiles:\n".to_owned() }
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        let path = self.dir.path().join(name);
        let parent = path.parent().unwrap();
        fs::create_dir_all(parent).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Writes a file as a package brings it.
    fn package(&mut self, name: &str, mode: u32) {
        self.write(&format!("etc/{name}"), name, mode);
        self.dpkg.push_str(&format!(" /etc/{name} {}\n", hex(&md5::Md5::digest(name))));
        self.write("var/lib/dpkg/status", &self.dpkg, 0o644);
    }

    fn link(&self, name: &str, target: &str) {
        symlink(target, self.dir.path().join("etc").join(name)).unwrap();
    }

    fn take(&self) -> Snapshot {
        self.take_with(Vec::new())
    }

    fn take_with(&self, links: Vec<(&'static str, String)>) -> Snapshot {
        let own = Own { files: vec![("passwd", "node\n".to_owned()), ("hosts", String::new())], links };
        Snapshot::take(&self.dir.path().join("cache"), &self.host, &own).unwrap()
    }

    fn inside(&self) -> Vec<String> {
        let mut found = Vec::new();
        list(&self.take().path, "", &mut found);
        found.sort();
        found
    }
}

fn list(dir: &Path, below: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let name = format!("{below}{}", entry.file_name().to_str().unwrap());
        match entry.file_type().unwrap().is_dir() {
            true => list(&entry.path(), &format!("{name}/"), found),
            false => found.push(name),
        }
    }
}

/// Files that packages bring unchanged on every machine, and that still stay out.
const KINDS: [&str; 26] = [
    "NetworkManager/NetworkManager.conf",
    "apt/auth.conf",
    "apt/sources.list",
    "cron.d/x",
    "crontab",
    "docker/daemon.json",
    "environment",
    "fstab",
    "gitconfig",
    "group-",
    "hosts.allow",
    "krb5.keytab",
    "ldap/ldap.conf",
    "machine-id",
    "netplan/01.yaml",
    "npmrc",
    "passwd-",
    "pip.conf",
    "resolvconf/x",
    "shadow",
    "ssh/ssh_host_ed25519_key",
    "ssl/private/key.pem",
    "sudoers",
    "sudoers.d/alice",
    "systemd/x.service",
    "wireguard/wg0.conf",
];

#[test]
fn what_a_package_put_there_unchanged_comes_in_and_nothing_else() {
    let mut machine = Machine::new();
    machine.package("java-17-openjdk/security/java.security", 0o644);
    machine.package("update-motd.d/10-uname", 0o755);
    for kind in KINDS {
        machine.package(kind, 0o644);
    }
    machine.package("unreadable.conf", 0o640);
    machine.package("writable.conf", 0o646);
    machine.package("maven/settings.xml", 0o644);
    machine.write("etc/maven/settings.xml", "<password>canary</password>", 0o644);
    machine.write("etc/maven/local.xml", "canary", 0o644);
    machine.write("etc/company/secret.conf", "canary", 0o644);
    // Made on the machine, and read by nearly every program.
    machine.write("etc/ssl/certs/ca-certificates.crt", "certificates", 0o644);
    machine.write("etc/ssl/certs/ssl-cert-snakeoil.pem", "canary", 0o644);
    machine.write("etc/timezone", "UTC", 0o644);
    let expected = [
        "hostname",
        "hosts",
        "java-17-openjdk/security/java.security",
        "passwd",
        "ssl/certs/ca-certificates.crt",
        "timezone",
        "update-motd.d/10-uname",
    ];
    assert_eq!(machine.inside(), expected);
    let snapshot = machine.take();
    let mode = |name: &str| fs::metadata(snapshot.path.join(name)).unwrap().mode() & 0o777;
    assert_eq!([mode("ssl"), mode("timezone"), mode("update-motd.d/10-uname")], [0o755, 0o644, 0o755]);
    let changed =
        super::super::rule::changed(&machine.host, &survey(&machine.host), &Known::read(&machine.host));
    assert_eq!(changed, ["maven/settings.xml"]);
}

#[test]
fn a_link_comes_in_when_it_leads_to_what_is_there() {
    let mut machine = Machine::new();
    machine.package("php/mods/pdo.ini", 0o644);
    machine.link("os-release", "../usr/lib/os-release");
    machine.link("a-second", "b-first");
    machine.link("b-first", "/etc/php/mods/pdo.ini");
    machine.link("home", "/home/alice/secret");
    machine.link("dangling", "company.conf");
    machine.link("out", "php/../../home/alice");
    assert_eq!(
        machine.inside(),
        ["a-second", "b-first", "hostname", "hosts", "os-release", "passwd", "php/mods/pdo.ini"]
    );
}

#[test]
fn files_of_another_user_stay_out() {
    let mut machine = Machine::new();
    machine.package("maven/m2.conf", 0o644);
    machine.host.owner += 1;
    assert_eq!(machine.inside(), ["hostname", "hosts", "passwd"]);
}

#[test]
fn a_snapshot_is_made_once_and_again_after_a_change() {
    let mut machine = Machine::new();
    machine.package("maven/m2.conf", 0o644);
    let first = machine.take();
    assert_eq!(machine.take().path, first.path);
    machine.write("etc/maven/m2.conf", "other", 0o644);
    let second = machine.take();
    assert_ne!(second.path, first.path);
    assert!(!second.path.join("maven").exists() && first.path.join("maven/m2.conf").exists());
}

#[test]
fn what_is_in_use_is_not_pruned() {
    let mut machine = Machine::new();
    let bottles = Store::new(&machine.dir.path().join("data"));
    let cache = machine.dir.path().join("cache");
    let first = machine.take();
    let new = cache.join(format!("{NEW}1-x"));
    fs::create_dir(&new).unwrap();
    prune(&cache, &bottles);
    assert!(first.path.exists() && new.exists(), "the lock is held");
    let path = first.path.clone();
    drop(first);
    prune(&cache, &bottles);
    assert!(!path.exists() && !new.exists());
    machine.package("maven/m2.conf", 0o644);
    assert!(machine.take().path.join("maven/m2.conf").exists());
}

#[test]
fn links_of_the_bottles_own_take_the_place_of_files_and_follow_no_link() {
    let machine = Machine::new();
    machine.write("etc/ssl/certs/ca-certificates.crt", "the host's", 0o644);
    machine.write("etc/pki/tls/certs/x.pem", "x", 0o644);
    fs::create_dir_all(machine.host.etc().join("alternatives")).unwrap();
    machine.link("ssl/cert.pem", "certs/ca-certificates.crt");
    machine.link("alternatives/certs", "../pki/tls/certs");
    let places = [
        "ssl/certs/ca-certificates.crt",
        "ssl/cert.pem",
        "ssl/certs/java/cacerts",
        "alternatives/certs/x.pem",
    ];
    let ours = machine.take_with(places.map(|place| (place, format!("/run/x/{}", place.len()))).into());
    let plain = machine.take();
    assert_ne!(ours.path, plain.path);
    for place in &places[..3] {
        let target = fs::read_link(ours.path.join(place)).unwrap();
        assert_eq!(target, Path::new(&format!("/run/x/{}", place.len())), "{place}");
    }
    // A directory that is a link stays one, and leads to what has no link.
    assert_eq!(fs::read_link(ours.path.join("alternatives/certs")).unwrap(), Path::new("../pki/tls/certs"));
    assert!(!ours.path.join("pki/tls/certs/x.pem").is_symlink());
    assert_eq!(fs::read_to_string(plain.path.join("ssl/certs/ca-certificates.crt")).unwrap(), "the host's");
}
