//! Which files of a working directory usually hold secrets: some by their names alone, others by what is in them.
//!
//! A name decides where the content has no form of its own. Where it has one, the content decides, in both directions: a
//! bundle of certificates comes along although it is called `*.pem`, and a private key stays out whatever it is called.

mod content;
mod keystore;

use std::path::Path;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

pub(super) use content::File;

/// Files that stay out by their names, in upper or lower case. Directories of such names are not meant.
pub const BY_NAME: &[&str] = &[
    ".env",
    ".env.*",
    ".envrc",
    ".dev.vars",
    ".dev.vars.*",
    ".netrc",
    "_netrc",
    ".git-credentials",
    ".pypirc",
    ".pgpass",
    ".my.cnf",
    ".boto",
    ".s3cfg",
    ".dockercfg",
    ".vault-token",
    ".databrickscfg",
    "rclone.conf",
    "secring.gpg",
    "kubeconfig",
    "*.kubeconfig",
    "*.tfvars",
    "*.tfvars.json",
    "*.tfstate",
    "*.tfstate.*",
    "*.p12",
    "*.pfx",
    "*.ppk",
    "*.kdbx",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "id_*_sk",
    "**/.aws/credentials",
    "**/.aws/sso/cache/*.json",
    "**/.azure/msal_token_cache.*",
    "**/.cargo/credentials",
    "**/.cargo/credentials.toml",
    "**/.claude/.credentials.json",
    "**/.codex/auth.json",
    "**/.config/gh/hosts.yml",
    "**/.config/glab-cli/config.yml",
    "**/.config/gcloud/application_default_credentials.json",
    "**/.config/gcloud/credentials.db",
    "**/.gem/credentials",
    "**/.kube/config",
    "**/.terraform.d/credentials.tfrc.json",
];

/// Files like the above that are made to be shared.
const TEMPLATES: &[&str] =
    &["!.env.example", "!.env.sample", "!.env.template", "!.env.dist", "!.dev.vars.example"];

/// Files whose content decides, each with what makes it a secret.
const BY_CONTENT: &[(&[&str], Look)] = &[
    (&["*.pem", "*.key"], Look::Armor),
    (&["*.jks", "*.keystore"], Look::Keystore),
    (
        &[".npmrc", ".yarnrc", ".yarnrc.yml"],
        Look::Settings(&["_auth", "_authToken", "_password", "npmAuthToken", "npmAuthIdent"]),
    ),
    (&["pip.conf", "pip.ini", ".condarc"], Look::Settings(&[])),
    (&["**/.docker/config.json"], Look::Settings(&["\"auth\"", "\"identitytoken\"", "\"registrytoken\""])),
    (&["**/.m2/settings.xml"], Look::Settings(&["<password", "<passphrase"])),
    (&["**/.gradle/gradle.properties"], Look::Settings(&["Password", "Token", "Secret"])),
    (&["auth.json"], Look::Settings(&["\"password\"", "\"github.com\"", "\"gitlab.com\"", "\"token\""])),
];

/// What makes a file of a certain name a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Anything but armored text without a private key.
    Armor,
    /// Anything but a store of certificates alone.
    Keystore,
    /// One of these words with a value that is not a reference to a variable, or an address with a password.
    Settings(&'static [&'static str]),
}

/// The names of files that hold secrets, ready to be asked.
#[derive(Debug)]
pub(super) struct Names {
    always: Gitignore,
    by_content: Vec<(Gitignore, Look)>,
}

impl Names {
    pub(super) fn new() -> Result<Self, ignore::Error> {
        let by_content = BY_CONTENT.iter().map(|(names, look)| Ok((set(names)?, *look)));
        Ok(Self {
            always: set(BY_NAME.iter().chain(TEMPLATES).copied().collect::<Vec<_>>().as_slice())?,
            by_content: by_content.collect::<Result<_, ignore::Error>>()?,
        })
    }

    /// Returns `true` if something of this name is a secret whatever is in it.
    pub(super) fn is_secret(&self, path: &Path) -> bool {
        self.always.matched(path, false).is_ignore()
    }

    /// Returns `true` if a file holds a secret by what is in it.
    pub(super) fn holds_secret(&self, path: &Path, file: File<'_>) -> rustix::io::Result<bool> {
        let mut named = self.by_content.iter().filter(|(names, _)| names.matched(path, false).is_ignore());
        match named.next() {
            Some((_, look)) => content::is_secret(file, *look),
            None => content::is_key(file),
        }
    }
}

fn set(names: &[&str]) -> Result<Gitignore, ignore::Error> {
    let mut builder = GitignoreBuilder::new("");
    builder.case_insensitive(true)?;
    for name in names {
        builder.add_line(None, name)?;
    }
    builder.build()
}

#[cfg(test)]
mod tests;
