//! The bottle's `/etc`: a few files of its own, and of the host's those that make programs work and hold no secret.

use std::fs;
use std::path::Path;

use claude_bottle_plugin_api::Result;

use crate::error::PathExt;
use crate::guest::{Home, ID, USER};
use crate::rundir::{RunDir, write_new};

/// The directory's name in the bottle's directory.
pub(crate) const DIR: &str = "etc";

/// Files of the host that are copied when they are there.
const FILES: [&str; 14] = [
    "bash.bashrc",
    "gai.conf",
    "host.conf",
    "inputrc",
    "ld.so.cache",
    "ld.so.conf",
    "localtime",
    "mime.types",
    "profile",
    "protocols",
    "services",
    "shells",
    "ssl/openssl.cnf",
    "timezone",
];

/// Directories of the host that are bound when they are there: certificates, the choice between alternatives, and
/// fonts.
const DIRECTORIES: [&str; 6] =
    ["alternatives", "ssl/certs", "pki/tls/certs", "pki/ca-trust/extracted", "crypto-policies", "fonts"];

/// Makes the directory, and returns the directories of the host to bind into it, relative to `/etc`.
pub(crate) fn make(dir: &RunDir, name: &str, home: &Home) -> Result<Vec<&'static str>> {
    let etc = dir.make_dir(DIR, 0o755, None)?;
    for (file, content) in own_files(name, home) {
        write_new(&etc.join(file), content.as_bytes(), 0o644)?;
    }
    for file in FILES {
        // A file that cannot be read is one the agent need not read either.
        if let Ok(content) = fs::read(Path::new("/etc").join(file)) {
            make_parent(&etc.join(file))?;
            write_new(&etc.join(file), &content, 0o644)?;
        }
    }
    let present = DIRECTORIES.into_iter().filter(|directory| Path::new("/etc").join(directory).is_dir());
    let present: Vec<_> = present.collect();
    for directory in &present {
        let path = etc.join(directory);
        fs::create_dir_all(&path).at("create", &path)?;
    }
    Ok(present)
}

fn make_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).at("create", parent)
}

fn own_files(name: &str, home: &Home) -> [(&'static str, String); 6] {
    let home = &home.path;
    let passwd = format!(
        "root:x:0:0:root:/root:/usr/sbin/nologin\n{USER}:x:{ID}:{ID}::{home}:/bin/bash\n\
         nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    );
    [
        ("passwd", passwd),
        ("group", format!("root:x:0:\n{USER}:x:{ID}:\nnogroup:x:65534:\n")),
        ("hosts", format!("127.0.0.1 localhost {name}\n::1 localhost\n")),
        ("hostname", format!("{name}\n")),
        ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n".to_owned()),
        // There is no resolver: names are the guard's business.
        ("resolv.conf", "# A bottle resolves no names; use the proxy.\n".to_owned()),
    ]
}
