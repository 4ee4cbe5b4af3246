//! Places of the host that no bottle is shown, whatever the manifest says: where keys, tokens and what a user reads and writes are.
//!
//! It is a list, and so not a promise: a directory that somebody filled with secrets under another name is not known
//! here. What a bottle is shown is in its plan.

use std::path::{Path, PathBuf};

/// What holds secrets, below a home directory; whose home it is does not matter.
const SECRETS: [&str; 68] = [
    ".1password",
    ".ansible",
    ".aws",
    ".azure",
    ".bash_history",
    ".cargo/credentials",
    ".cargo/credentials.toml",
    ".claude",
    ".claude.json",
    ".codex",
    ".config/1Password",
    ".config/BraveSoftware",
    ".config/Bitwarden",
    ".config/chromium",
    ".config/claude-bottle",
    ".config/configstore",
    ".config/doctl",
    ".config/flyctl",
    ".config/gcloud",
    ".config/gh",
    ".config/git/credentials",
    ".config/google-chrome",
    ".config/helm",
    ".config/hub",
    ".config/op",
    ".config/rclone",
    ".config/sops",
    ".databrickscfg",
    ".docker",
    ".dropbox",
    ".fly",
    ".gemini",
    ".git-credentials",
    ".gnupg",
    ".gradle/gradle.properties",
    ".heroku",
    ".kaggle",
    ".kube",
    ".local/share/atuin",
    ".local/share/claude-bottle",
    ".local/share/keyrings",
    ".local/share/opencode/auth.json",
    ".local/share/password-store",
    ".local/state/claude-bottle",
    ".m2/settings-security.xml",
    ".m2/settings.xml",
    ".minikube",
    ".mozilla",
    ".my.cnf",
    ".netlify",
    ".netrc",
    ".npmrc",
    ".oci",
    ".password-store",
    ".pgpass",
    ".pki",
    ".pypirc",
    ".putty",
    ".python_history",
    ".snowsql",
    ".ssh",
    ".step",
    ".terraform.d",
    ".thunderbird",
    ".vault-token",
    ".wrangler",
    ".yarnrc.yml",
    ".zsh_history",
];

/// Programs that lie among secrets, as their makers install them.
const PROGRAMS: [&str; 3] = [".claude/local", ".docker/cli-plugins", ".fly/bin"];

/// What is the system's: the whole of it is private.
const SYSTEM: [&str; 13] = [
    "/boot",
    "/dev",
    "/etc",
    "/lost+found",
    "/proc",
    "/run",
    "/sys",
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/docker",
    "/var/lib/kubelet",
    "/var/run",
    "/var/spool",
];

/// What is too much by itself, and holds what may be shown.
const TOO_MUCH: [&str; 9] = ["/", "/home", "/media", "/mnt", "/opt", "/srv", "/tmp", "/var", "/var/tmp"];

/// Returns why a place is shown to no bottle, or `None` when it may be. The path is absolute; a link is judged by its
/// text, so the caller asks for what it leads to as well.
pub fn why_private(path: &Path, home: Option<&Path>) -> Option<String> {
    if TOO_MUCH.iter().any(|too_much| path == Path::new(too_much)) {
        return Some("is too much of this machine".to_owned());
    }
    if let Some(system) = SYSTEM.iter().find(|system| path.starts_with(system)) {
        return Some(format!("belongs to the system (`{system}`)"));
    }
    if home.is_some_and(|home| home.starts_with(path)) {
        return Some("is the home directory, or holds it".to_owned());
    }
    if PROGRAMS.iter().any(|program| has(path, Path::new(program))) {
        return None;
    }
    if let Some(secret) = SECRETS.iter().find(|secret| has(path, Path::new(secret))) {
        return Some(format!("is where secrets are kept (`{secret}`)"));
    }
    let below = SECRETS.iter().find_map(|secret| first_below(path, Path::new(secret)));
    let in_home = || {
        let places = SECRETS.iter().filter_map(|secret| home.map(|home| home.join(secret)));
        places.into_iter().find(|place| place.starts_with(path) && exists(place))
    };
    below.or_else(in_home).map(|place| format!("holds secrets (`{}`)", place.display()))
}

/// Returns `true` if a path goes through another, wherever that begins.
fn has(path: &Path, part: &Path) -> bool {
    path.ancestors().any(|ancestor| ancestor.ends_with(part))
}

/// Returns a place with secrets that a directory has in it, if the directory is a home or the beginning of the way from
/// one: `~/.config` has `~/.config/gh`.
fn first_below(path: &Path, secret: &Path) -> Option<PathBuf> {
    let beginnings = secret.ancestors().skip(1);
    let mut ways =
        beginnings.filter(|beginning| path.ends_with(beginning) || beginning.as_os_str().is_empty());
    ways.find_map(|way| {
        let place = path.join(secret.strip_prefix(way).ok()?);
        exists(&place).then_some(place)
    })
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_with_secrets_is_private_in_every_home() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        for dir in [".cargo/bin", ".config/gh", ".config/nvim", ".rustup", ".nvm/versions"] {
            std::fs::create_dir_all(home.join(dir)).unwrap();
        }
        std::fs::write(home.join(".cargo/credentials.toml"), "token").unwrap();
        let private = |path: &Path| why_private(path, Some(home)).is_some();
        for path in
            [".ssh", ".ssh/keys", ".aws", ".config/gh", ".config", ".cargo", ".claude/skills", ".npmrc", ""]
        {
            assert!(private(&home.join(path)), "{path}");
        }
        for path in [
            ".rustup",
            ".cargo/bin",
            ".nvm",
            ".config/nvim",
            ".local/share/pipx",
            "bin",
            ".claude/local/node_modules",
        ] {
            assert!(!private(&home.join(path)), "{path}");
        }
        for path in [
            "/",
            "/home",
            "/etc/ssl",
            "/proc/1",
            "/home/other/.ssh",
            "/opt",
            "/run/user/1000",
            "/var/lib/docker/x",
        ] {
            assert!(private(Path::new(path)), "{path}");
        }
        for path in ["/opt/tool", "/home/linuxbrew/.linuxbrew", "/srv/tools", "/nix/store/x"] {
            assert!(!private(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn another_users_home_is_known_by_what_is_in_it() {
        let other = tempfile::tempdir().unwrap();
        assert_eq!(why_private(other.path(), None), None);
        for secret in [".ssh", ".config/gh"] {
            std::fs::create_dir_all(other.path().join(secret)).unwrap();
        }
        assert!(why_private(other.path(), None).is_some());
        assert!(why_private(&other.path().join(".config"), None).is_some());
    }
}
