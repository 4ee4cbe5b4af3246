//! What of the host's files is seen in a bottle, and what a bottle's files are on the host.

use std::fs;

use crate::support::Bench;

#[test]
fn the_hosts_files_are_not_there() {
    let bench = Bench::new();
    let secret = bench.dir.path().join("secret");
    fs::write(&secret, "canary").unwrap();
    let live = bench.launch(&bench.spec("files"));
    let home = std::env::var("HOME").unwrap_or_else(|_| "/root".to_owned());
    for path in [
        secret.to_str().unwrap(),
        &home,
        "/work",
        "/mnt",
        "/srv",
        "/boot",
        "/sys",
        "/etc/shadow",
        "/etc/ssh",
        "/var/log",
        "/run/user",
    ] {
        let said = live.sh(&format!("ls -A '{path}' 2>/dev/null"));
        assert!(said.code != 0 || said.out.is_empty(), "{path}: {said:?}");
    }
    let said = live.sh("cat /etc/passwd /etc/resolv.conf; ls /home /opt 2>&1");
    assert!(said.out.contains("node:x:1000:1000:"), "{said:?}");
    let servers: Vec<_> = said.out.lines().filter(|line| line.starts_with("nameserver")).collect();
    assert_eq!(servers, ["nameserver 127.0.0.1"], "{said:?}");
    assert_eq!(said.out.lines().filter(|line| line.contains(":x:")).count(), 3, "{said:?}");
    let said = live.sh("ls -A /var/lib");
    assert!(said.out.lines().all(|name| ["dpkg", "pacman", "rpm"].contains(&name)), "{said:?}");
}

#[test]
fn only_home_and_scratch_can_be_written() {
    let bench = Bench::new();
    let live = bench.launch(&bench.spec("write"));
    for path in [
        "/x",
        "/usr/x",
        "/etc/x",
        "/dev/x",
        "/run/x",
        "/run/claude-bottle/x",
        "/run/claude-bottle/egress/x",
        "/run/claude-bottle/ssh/x",
        "/run/claude-bottle/bottle-guest",
        "/run/claude-bottle/bin/bottle",
        "/run/claude-bottle/bin/x",
        "/opt/x",
        "/home/x",
        "/var/x",
        "/proc/x",
        "/bin/x",
        "/root/x",
    ] {
        let said = live.sh(&format!("echo x > {path}"));
        assert_ne!(said.code, 0, "{path} was written");
    }
    for path in ["/home/node/x", "/tmp/x", "/dev/shm/x", "/var/tmp/x"] {
        let said = live.sh(&format!("echo x > {path} && cat {path}"));
        assert_eq!(said.out, "x\n", "{path}: {said:?}");
    }
    assert_eq!(live.sh("rm -rf /run/claude-bottle/egress; ls /run/claude-bottle/egress").out, "guard.sock\n");
}

#[test]
fn devices_and_memory_files_are_the_harmless_ones() {
    let bench = Bench::new();
    let live = bench.launch(&bench.spec("devices"));
    let said = live.sh("ls /dev | sort | tr '\\n' ' '");
    assert_eq!(
        said.out,
        "console core fd full null ptmx pts random shm stderr stdin stdout tty urandom zero "
            .replace("console ", "")
    );
    let said = live.sh("cat /proc/keys /proc/timer_list 2>/dev/null; mknod /tmp/disk b 254 0; ls /tmp");
    assert!(said.out.is_empty(), "{said:?}");
    let said = live.sh("head -c 400000000 /dev/zero > /dev/shm/full; stat -c %s /dev/shm/full");
    let size: u64 = said.out.trim().parse().unwrap();
    assert!(size <= 256 << 20, "{size}");
}

#[test]
fn descriptors_the_user_left_open_do_not_come_along() {
    let bench = Bench::new();
    let live = bench.launch(&bench.spec("descriptors"));
    let said = live.sh("ls -l /proc/self/fd | awk '{print $9}' | sort -n | tr '\\n' ' '");
    // `ls` itself has the directory open.
    assert_eq!(said.out.trim(), "0 1 2 3", "{said:?}");
}

#[test]
fn whatever_the_agent_leaves_is_removed() {
    let bench = Bench::new();
    let live = bench.launch(&bench.spec("leaves"));
    let said = live.sh(
        "mkdir -p ~/closed/in && echo x > ~/closed/in/file && chmod 0 ~/closed/in ~/closed; ln -s / ~/root; \
         mkfifo ~/pipe; cd ~ && for i in $(seq 300); do mkdir d && cd d; done; touch \"$(printf 'a\\nb')\"; chmod 0 ~",
    );
    assert_eq!(said.code, 0, "{said:?}");
    live.close();
    assert_eq!(fs::read_dir(bench.bottles()).unwrap().count(), 0);
}
