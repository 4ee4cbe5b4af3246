//! `cluster manifest`: what an administrator applies so that a team can run bottles in a namespace of a Kubernetes cluster.
//!
//! It is text: nothing here talks to a cluster.

use crate::error::{CliError, CliResult, Exit};

use super::App;

/// The objects, with places for what is asked for.
const TEMPLATE: &str = include_str!("namespace.yaml");

/// Processors and memory that a bottle may use when its manifest says nothing, with its guard.
const CPUS: u32 = 5;
const MEMORY: u32 = 5;

/// The longest name of a namespace: <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>.
const LONGEST_NAME: usize = 63;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Print the objects of a namespace for bottles: rights, quota, network and admission policies
    Manifest(ManifestArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  claude-bottle cluster manifest --group developers | kubectl apply -f -
  claude-bottle cluster manifest --namespace team-a --bottles 50 > namespace.yaml")]
struct ManifestArgs {
    /// Name of the namespace
    #[arg(long, value_name = "NAME", default_value = "claude-bottle")]
    namespace: String,
    /// Group of the cluster's users that may run bottles
    #[arg(long, value_name = "NAME", conflicts_with = "user")]
    group: Option<String>,
    /// User of the cluster that may run bottles; without either, a service account `claude-bottle` is made
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// How many bottles there may be at once
    #[arg(long, value_name = "N", default_value_t = 20)]
    bottles: u16,
    /// What the namespace enforces of Pod Security
    #[arg(long, value_enum, default_value_t)]
    level: Level,
}

/// A Pod Security Standard: <https://kubernetes.io/docs/concepts/security/pod-security-standards/>.
#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum Level {
    // Enough for the wall `netns`.
    #[default]
    Baseline,
    Restricted,
}

/// Runs the command.
pub(super) fn run(app: &App, args: &Args) -> CliResult {
    let Verb::Manifest(args) = &args.verb;
    app.ui.data(manifest(args)?.trim_end());
    Ok(())
}

fn manifest(args: &ManifestArgs) -> Result<String, CliError> {
    let namespace = &args.namespace;
    if !is_name(namespace) {
        let message = format!("`{}` is not a valid name of a namespace", namespace.escape_debug());
        return Err(
            CliError::new(Exit::Usage, message).hint("use lower-case letters, digits and `-`, 63 at most")
        );
    }
    let (subject, account) = subject(args);
    let level = match args.level {
        Level::Baseline => "baseline",
        Level::Restricted => "restricted",
    };
    let bottles = u32::from(args.bottles);
    Ok(TEMPLATE
        .replace("${namespace}", namespace)
        .replace("${level}", level)
        .replace("${account}", &account)
        .replace("${subject}", &subject)
        .replace("${bottles}", &bottles.to_string())
        .replace("${cpus}", &(bottles * CPUS).to_string())
        .replace("${memory}", &(bottles * MEMORY).to_string()))
}

/// Returns who is given the rights, and the account that is made for it.
fn subject(args: &ManifestArgs) -> (String, String) {
    let of = |kind: &str, name: &str| {
        // JSON is YAML, and no name can say more in it.
        serde_json::json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name }).to_string()
    };
    match (&args.group, &args.user) {
        (Some(group), _) => (of("Group", group), String::new()),
        (_, Some(user)) => (of("User", user), String::new()),
        _ => {
            let namespace = &args.namespace;
            let account = format!(
                "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{ name: claude-bottle, namespace: {namespace} }}\n---\n"
            );
            let subject = format!("{{ kind: ServiceAccount, name: claude-bottle, namespace: {namespace} }}");
            (subject, account)
        }
    }
}

/// Returns `true` if a text is a label of DNS, as names of namespaces are.
fn is_name(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=LONGEST_NAME).contains(&text.len())
        && text.chars().all(is_plain)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(namespace: &str) -> ManifestArgs {
        ManifestArgs {
            namespace: namespace.to_owned(),
            group: None,
            user: None,
            bottles: 3,
            level: Level::Baseline,
        }
    }

    #[test]
    fn nothing_is_left_open_and_each_document_is_yaml() {
        let text = manifest(&args("team-a")).unwrap();
        assert!(!text.contains("${"), "{text}");
        let kinds: Vec<String> = text
            .split("\n---\n")
            .map(|document| serde_yaml::from_str::<serde_yaml::Value>(document).unwrap())
            .map(|document| document["kind"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(kinds[..5], ["Namespace", "Role", "ServiceAccount", "RoleBinding", "ResourceQuota"]);
        assert!(text.contains("limits.cpu: \"15\"") && text.contains("limits.memory: 15Gi"), "{text}");
        let group = ManifestArgs { group: Some("a: b".to_owned()), ..args("x") };
        assert!(manifest(&group).unwrap().contains(r#""name":"a: b""#));
    }

    #[test]
    fn a_name_that_is_none_is_refused() {
        for name in ["", "Team", "a_b", "-a", "a-", "a\nb", &"a".repeat(64)] {
            assert!(manifest(&args(name)).is_err(), "{name}");
        }
    }
}
