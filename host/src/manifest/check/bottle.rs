//! A bottle as a whole; its larger sections have modules of their own.

use super::{Checker, Lines, egress, env, forward, git, limits, options, secrets, ssh, tools};
use crate::manifest::keys::KEYS;
use crate::manifest::model::{Bottle, BottleName, WorkspacePlace};
use crate::manifest::node::{Key, Node};
use crate::manifest::problem::ProblemKind;

/// Longest image reference: a name of 255, a tag of 128, a digest.
const MAX_IMAGE: usize = 512;
/// Longest name of a user: `useradd`'s own limit.
const MAX_USER: usize = 32;
/// Largest number of a user that engines take: <https://github.com/moby/sys/blob/user/v0.4.0/user/user.go>.
const MAX_ID: u32 = 1 << 31;

pub(super) fn check(checker: &mut Checker<'_>, name: BottleName, key: &Key, node: &Node) -> Option<Bottle> {
    let fields = checker.fields(node, &format!("bottle `{name}`"), &KEYS.bottle)?;
    let env = fields.get("env").map(|node| env::check(checker, node)).unwrap_or_default();
    let secrets = fields.get("secrets").map(|node| secrets::check(checker, node)).unwrap_or_default();
    let ssh = fields.get("ssh").map(|node| ssh::check(checker, node)).unwrap_or_default();
    let egress = fields.get("egress").map(|node| egress::check(checker, &name, node)).unwrap_or_default();
    let forward = fields.get("forward").map(|node| forward::check(checker, node)).unwrap_or_default();
    let limits = fields.get("limits").map(|node| limits::check(checker, node)).unwrap_or_default();
    let image = fields.get("image").and_then(|node| image(checker, node));
    let tools = fields.get("tools").map(|node| tools::check(checker, node)).unwrap_or_default();
    let user = fields.get("user").and_then(|node| user(checker, node));
    let git_identity = fields.get("git_identity").map(|node| git::check(checker, node)).unwrap_or_default();
    let workspace = fields.get("workspace").and_then(|node| workspace(checker, node)).unwrap_or_default();
    let options = fields.get("options").map(|node| options::check(checker, node)).unwrap_or_default();
    let (forward, places): (Vec<_>, Vec<_>) = forward.into_iter().unzip();
    let origin = checker.source.origin(key.span);
    let bottle = Bottle {
        name,
        env,
        secrets,
        ssh,
        egress,
        forward,
        limits,
        image,
        tools,
        user,
        workspace,
        git_identity,
        options,
        origin,
    };
    if let Some(node) = fields.get("secrets") {
        secrets::check_together(checker, node, &bottle);
    }
    forward::check_allowed(checker, &bottle, &places);
    Some(bottle)
}

fn workspace(checker: &mut Checker<'_>, node: &Node) -> Option<WorkspacePlace> {
    let places = [("same", WorkspacePlace::Same), ("home", WorkspacePlace::Home)];
    egress::one_of(checker, node, "`workspace`", &places)
}

/// Returns an image reference. The engine has the last word on its grammar; here only what can be no reference at
/// all is refused, above all what an engine could take for an option.
fn image(checker: &mut Checker<'_>, node: &Node) -> Option<String> {
    let text = checker.text(node, "`image`", Lines::One)?;
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    let accepted = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':' | '@');
    if !starts_well || text.len() > MAX_IMAGE || !text.chars().all(accepted) {
        let message = format!("`{text}` is not a valid image reference");
        checker.report_with(
            ProblemKind::BadValue,
            node.span,
            message,
            "an image is `name`, `name:tag` or `name@sha256:…`, a registry in front if it needs one",
        );
        return None;
    }
    Some(text.to_owned())
}

/// Returns a user of the image, who cannot be root: root's programs in a bottle keep the keys from the agent.
fn user(checker: &mut Checker<'_>, node: &Node) -> Option<String> {
    let text = checker.text(node, "`user`", Lines::One)?;
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    let is_number = |text: &str| text.parse::<u32>().is_ok_and(|number| number <= MAX_ID);
    let is_name = |text: &str| {
        let accepted = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        text.len() <= MAX_USER
            && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && text.chars().all(accepted)
    };
    let is_known = match group {
        None => is_number(user) || is_name(user),
        Some(group) => is_number(user) && is_number(group),
    };
    if is_known && user != "root" && user.parse() != Ok(0_u32) {
        return Some(text.to_owned());
    }
    let (message, note) = if is_known {
        (
            "the agent cannot run as root",
            "root in the bottle keeps the keys that the agent uses and cannot read",
        )
    } else {
        (
            "not a valid user",
            "a user is a name such as `dev`, a number such as `1000`, or `1000:1000` with its group's",
        )
    };
    checker.report_with(ProblemKind::BadValue, node.span, format!("`{text}`: {message}"), note);
    None
}
