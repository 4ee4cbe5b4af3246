//! The guard's memory, in which the authority's key and held secrets are: no other process of its user reads it.

use std::process::Command;

use serde_json::json;

use crate::support::binary;
use crate::support::certificates::Roots;
use crate::support::held::config;

/// Starts a guard, waits until it listens, and tries to open its memory and its environment, and those of another process.
const TRIES: &str = r#"
mkfifo "$3"
"$1" run --config "$2" > /dev/null 2> "$3" &
guard=$!
sleep 600 &
other=$!
while read -r line; do
    case $line in *'"listening"'*) break ;; esac
done < "$3"
for process in "$guard" "$other"; do
    for file in mem environ maps; do
        if (exec < "/proc/$process/$file") 2> /dev/null; then echo "open $file"; else echo "closed $file"; fi
    done
done
kill "$guard" "$other"
"#;

#[test]
fn no_other_process_of_the_same_user_reads_the_guards_memory() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("guard.yaml");
    let mut config = config(8443, &Roots::new().pem);
    for (key, value) in [("version", json!(1)), ("bottle", json!("b")), ("listen", json!("127.0.0.1:0"))] {
        config[key] = value;
    }
    std::fs::write(&file, config.to_string()).unwrap();
    // As a user without capabilities, since root reads everything.
    let sandbox = [
        "--bind",
        "/",
        "/",
        "--dev",
        "/dev",
        "--proc",
        "/proc",
        "--unshare-user",
        "--unshare-pid",
        "--uid",
        "1000",
    ];
    let done = Command::new("bwrap")
        .args(sandbox)
        .args(["--die-with-parent", "sh", "-c", TRIES, "sh", binary()])
        .args([&file, &dir.path().join("events")])
        .env("BOTTLE_SECRETS", r#"[{"name":"TOKEN","value":"s3cr3tValue0123456789xyz"}]"#)
        .output()
        .expect("run bwrap, which tests/setup installs");
    let says = String::from_utf8_lossy(&done.stdout).into_owned();
    let tried: Vec<&str> = says.lines().collect();
    let expected = ["closed mem", "closed environ", "closed maps", "open mem", "open environ", "open maps"];
    assert_eq!(tried, expected, "{}", String::from_utf8_lossy(&done.stderr));
}
