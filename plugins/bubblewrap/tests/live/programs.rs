//! Programs of the host's distribution, whose configuration packages put into `/etc`, run in a bottle as they run
//! outside.

use std::path::Path;
use std::process::Command;

use crate::support::{Bench, Live};

/// What is tried: a program, its packages, and a line of shell whose output is the same inside and outside.
const PROGRAMS: &str = include_str!("../../../../tests/programs.tsv");

/// Those that have to be there for the test to say anything: `tests/setup/test-tools.sh` installs them.
const NEEDED: [&str; 5] = ["convert", "curl", "javac", "php", "python3"];

#[test]
fn programs_of_the_distribution_run_as_outside() {
    let bench = Bench::new();
    let live = bench.launch(&bench.spec("programs"));
    let outside = bench.dir.path().join("outside");
    let mut wrong = Vec::new();
    let programs = PROGRAMS.lines().filter(|line| !line.starts_with('#'));
    for (number, line) in programs.enumerate() {
        let fields: Vec<_> = line.split('\t').collect();
        let [program, _, script] = fields[..] else { panic!("{line}") };
        let dir = outside.join(number.to_string());
        std::fs::create_dir_all(&dir).unwrap();
        if !is_installed(program) {
            assert!(!NEEDED.contains(&program), "`{program}` is missing: tests/setup/test-tools.sh");
            continue;
        }
        let script = format!("export PATH=/usr/sbin:/usr/bin:/sbin:/bin; {script}");
        let there = run_outside(&dir, &script);
        let here = live.sh(&format!("mkdir ~/{number} && cd ~/{number} && {{ {script}; }}"));
        if there.is_empty() || here.out != there {
            wrong.push(format!("{program}: inside {here:?}, outside {there:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn is_installed(program: &str) -> bool {
    let lies_in = |dir: &str| Path::new(dir).join(program).exists();
    // Debian keeps programs of PostgreSQL by their version.
    ["/usr/bin", "/usr/sbin"].into_iter().any(lies_in)
        || program == "pg_ctl" && Path::new("/usr/lib/postgresql").is_dir()
}

/// Runs a line with the locale that a bottle has.
fn run_outside(dir: &Path, script: &str) -> String {
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).current_dir(dir).env_clear();
    shell.env("LANG", "C.UTF-8").env("HOME", dir);
    String::from_utf8(shell.output().unwrap().stdout).unwrap()
}

/// What stays out of a bottle's `/etc`, on every machine.
const OUT: &str = "shadow gshadow machine-id ssh sudoers sudoers.d cron.d crontab fstab ssl/private NetworkManager \
    netplan wireguard docker docker/daemon.json krb5.keytab krb5.conf apt apt/auth.conf environment gitconfig npmrc \
    pip.conf systemd init.d subuid pam.d security";

#[test]
fn etc_names_neither_the_machine_nor_its_users_network_and_secrets() {
    let bench = Bench::new();
    let live = bench.launch(&bench.spec("etc"));
    let said = live.sh(&format!("cd /etc && ls -d {OUT} 2>/dev/null; cat hostname hosts"));
    let name = "claude-bottle-etc";
    assert_eq!(said.out, format!("{name}\n127.0.0.1 localhost {name}\n::1 localhost\n"), "{said:?}");
    // Nothing in it but root's may be there, and no user of the machine is named in it.
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let homes =
        users.lines().filter_map(|line| line.split(':').nth(5)).filter(|home| home.starts_with("/home/"));
    for home in homes {
        assert_ne!(live.sh(&format!("grep -rF '{home}' /etc 2>/dev/null")).code, 0, "{home} is named");
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    if host.trim().len() > 5 {
        assert_ne!(live.sh(&format!("grep -rwF '{}' /etc 2>/dev/null", host.trim())).code, 0, "{host}");
    }
}

#[test]
fn bottles_share_one_copy_of_etc_and_leave_no_old_ones() {
    let bench = Bench::new();
    let cache = bench.dir.path().join("data/etc");
    std::fs::create_dir_all(cache.join("old")).unwrap();
    let link = |live: &Live<'_>| std::fs::read_link(live.outside().join("etc")).unwrap();
    let mut one = bench.launch(&bench.spec("one"));
    let mut two = bench.launch(&bench.spec("two"));
    // Another program may be installing packages meanwhile.
    for id in ["three", "four", "five", "six"] {
        if link(&one) != link(&two) {
            one = std::mem::replace(&mut two, bench.launch(&bench.spec(id)));
        }
    }
    let shared = link(&two);
    assert_eq!(link(&one), shared);
    drop(one);
    let said = two.sh("cat /etc/hostname; test -s /etc/ld.so.cache && echo full");
    assert_eq!(said.out, format!("{}\nfull\n", two.bottle.name), "{said:?}");
    let dirs = std::fs::read_dir(&cache).unwrap().flatten().filter(|entry| entry.path().is_dir());
    assert_eq!(dirs.map(|entry| entry.path()).collect::<Vec<_>>(), [shared]);
}
