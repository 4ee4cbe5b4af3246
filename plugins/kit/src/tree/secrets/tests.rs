//! Secrets and what looks like them, made by the programs that make them where there is one.

use std::fs;
use std::os::fd::AsFd;
use std::process::Command;

use super::*;

/// Returns the verdict on a file of this name with this content.
fn is_secret(name: &str, content: &[u8]) -> bool {
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, content).unwrap();
    let (names, path) = (Names::new().unwrap(), Path::new(name));
    let file = File { fd: file.as_fd(), size: content.len() as u64 };
    names.is_secret(path) || names.holds_secret(path, file).unwrap()
}

#[track_caller]
fn out(names: &[&str], content: impl AsRef<[u8]>) {
    names.iter().for_each(|name| assert!(is_secret(name, content.as_ref()), "{name} comes along"));
}

#[track_caller]
fn along(names: &[&str], content: impl AsRef<[u8]>) {
    names.iter().for_each(|name| assert!(!is_secret(name, content.as_ref()), "{name} stays out"));
}

/// Runs a script in a directory of its own, and returns what is in the file `out` afterwards.
fn made(script: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new("sh").args(["-ec", script]).current_dir(&dir).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    fs::read(dir.path().join("out")).unwrap()
}

#[test]
fn some_names_say_enough() {
    out(&[".env", ".env.local", "a/.ENV", ".envrc", ".dev.vars", "a/.dev.vars.staging"], "X=1");
    out(&[".pypirc", ".netrc", "_netrc", ".git-credentials", ".vault-token", ".pgpass", ".dockercfg"], "x");
    out(&["prod.tfvars", "a/x.auto.tfvars.json", "terraform.tfstate", "terraform.tfstate.backup"], "{}");
    out(&["a.p12", "b.PFX", "c.ppk", "d.kdbx", "id_rsa", "id_ed25519", "id_ed25519_sk", "id_ecdsa_sk"], "x");
    out(&[".aws/credentials", "home/.aws/credentials", ".kube/config", "ci.kubeconfig", "kubeconfig"], "x");
    out(
        &[".config/gh/hosts.yml", ".claude/.credentials.json", ".codex/auth.json", ".cargo/credentials.toml"],
        "x",
    );
    along(&[".env.example", ".env.sample", ".env.template", ".dev.vars.example", "environment"], "X=1");
    along(&["id_rsa.pub", "id_ed25519_sk.pub", "terraform.tfvars.example", "credentials", "config"], "x");
    along(&["hosts.yml", ".claude/settings.json", ".aws/config", "main.tf"], "x");
}

#[test]
fn certificates_come_along_and_private_keys_do_not_under_any_name() {
    let certificate = made(
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out out -subj /CN=x -days 1 2>/dev/null",
    );
    let bundle = [b"\n# Issuer: CN=x\n".as_slice(), &certificate].concat().repeat(200);
    assert!(bundle.len() > 100_000, "{}", bundle.len());
    along(&["certifi/cacert.pem", "server.crt", "ca.key", "x"], &bundle);
    let pkcs8 = made("openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out out 2>/dev/null");
    let names = ["server.pem", "server.key", "notes.txt", "deploy", "a/b.crt"];
    out(&names, &pkcs8);
    out(&names, [b"\xef\xbb\xbf\r\n".as_slice(), &pkcs8].concat());
    out(&["all.pem", "all.txt"], [certificate.repeat(100), pkcs8.clone()].concat());
    for algorithm in ["prime256v1", "secp384r1"] {
        let make = format!("openssl ecparam -name {algorithm} -genkey -noout -out out");
        out(&names, made(&make));
        out(
            &names,
            made(&format!("{make}; openssl ec -in out -outform DER -out der 2>/dev/null; mv der out")),
        );
    }
    let der = "openssl genrsa -out key 2048 2>/dev/null; openssl rsa -in key -outform DER -out out";
    out(&names, made(&format!("{der} -traditional 2>/dev/null")));
    out(&names, made("openssl genpkey -algorithm ed25519 -outform DER -out out"));
    along(
        &["server.der", "x"],
        made(
            "openssl req -x509 -newkey rsa:2048 -nodes -keyout key -outform DER -out out -subj /CN=x 2>/dev/null",
        ),
    );
    out(&names, made("ssh-keygen -q -t ed25519 -N '' -f out"));
    along(&["key.txt"], made("ssh-keygen -q -t ed25519 -N '' -f key; mv key.pub out"));
    let pgp = "export GNUPGHOME=$PWD; gpg --batch --quiet --passphrase '' --quick-generate-key x ed25519 2>/dev/null; \
               gpg --batch --armor --export-secret-keys >out; gpgconf --kill all";
    out(&["me.asc", "backup"], made(pgp));
    along(&["me.asc"], made(&pgp.replace("--export-secret-keys", "--export")));
    out(&["x.pem", "x.key"], "no form of any kind");
    out(&["x"], "Bag Attributes\n    friendlyName: x\n-----BEGIN ENCRYPTED PRIVATE KEY-----\n");
    along(&["test.js", "README.md"], "A key begins with\n-----BEGIN RSA PRIVATE KEY-----\n");
}

#[test]
fn other_keys_are_known_by_their_form() {
    out(&["x", "keys.txt"], "# created: 2026-01-01\n# public key: age1x\nAGE-SECRET-KEY-1QQQ\n");
    along(&["recipients.txt"], "# public key: age1x\nage1x\n");
    out(&["x"], "PuTTY-User-Key-File-3: ssh-ed25519\n");
    let account = r#"{ "type": "service_account", "private_key": "-----BEGIN PRIVATE KEY-----\nMII" }"#;
    out(&["gcp.json"], account);
    along(&["types.json"], r#"{ "type": "service_account", "private_key": "${KEY}" }"#);
}

/// Makes a keystore with these entries, as `keytool` writes it.
fn keystore(tags: &[u8]) -> Vec<u8> {
    let mut bytes = [[0xfe, 0xed, 0xfe, 0xed], [0, 0, 0, 2], (tags.len() as u32).to_be_bytes()].concat();
    for tag in tags {
        bytes.extend([0, 0, 0, *tag, 0, 1, b'a', 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(if *tag == 2 {
            b"\0\x05X.509\0\0\0\x02xx".as_slice()
        } else {
            b"\0\0\0\x02xx".as_slice()
        });
    }
    bytes.extend([7; 20]);
    bytes
}

#[test]
fn a_store_of_certificates_comes_along_and_one_with_a_key_does_not() {
    let names = ["app.jks", "debug.keystore", "lib/security/cacerts"];
    along(&names, keystore(&[2, 2, 2]));
    out(&names, keystore(&[2, 1, 2]));
    out(&names, keystore(&[1]));
    out(&names, &keystore(&[2, 2])[..40]);
    out(&names[..2], "something else");
    along(&["lib/security/cacerts"], "something else");
}

#[test]
fn settings_are_secret_when_they_hold_a_token() {
    let npm = "//registry.npmjs.org/:_authToken=npm_x\n";
    out(&[".npmrc", "a/.npmrc"], npm);
    along(&[".npmrc"], "//registry.npmjs.org/:_authToken=${NPM_TOKEN}\nregistry=https://r.test/\n");
    out(&[".npmrc"], "_auth = \"eDp5\"\n");
    along(&["npmrc.txt"], npm);
    out(&[".yarnrc.yml"], "npmAuthToken: x\n");
    along(&[".yarnrc.yml"], "npmAuthToken: \"${TOKEN-}\"\nnodeLinker: node-modules\n");
    out(&["pip.conf", ".npmrc"], "index-url = https://me:word@pypi.test/simple\n");
    along(
        &["pip.conf"],
        "index-url = https://${ME}:${WORD}@pypi.test/simple\nother = https://pypi.test/@x\n",
    );
    out(&[".docker/config.json"], r#"{"auths": {"r.test": {"auth": "eDp5"}}}"#);
    along(&[".docker/config.json"], r#"{"auths": {"r.test": {}}, "credsStore": "secretservice"}"#);
    out(&["auth.json"], r#"{"http-basic": {"r.test": {"username": "u", "password": "p"}}}"#);
    along(&["auth.json"], r#"{"password": {"type": "string"}}"#);
    out(&[".m2/settings.xml"], "<server><password>x</password></server>");
    along(&[".m2/settings.xml"], "<server><password>${env.P}</password></server>");
    out(&[".gradle/gradle.properties"], "nexusPassword=x\n");
    along(&[".gradle/gradle.properties"], "org.gradle.jvmargs=-Xmx2g\n");
}

#[test]
fn what_the_documents_list_is_the_list() {
    let text = include_str!("../../../../../docs/cli.md");
    let content = BY_CONTENT.iter().flat_map(|(names, _)| names.iter());
    for name in BY_NAME.iter().chain(content) {
        let shown = name.trim_start_matches("**/");
        assert!(text.contains(&format!("`{shown}`")), "docs/cli.md does not name {shown}");
    }
}
