//! A bottle as a whole; its larger sections have modules of their own.

use super::{Checker, Lines, egress, env, limits, options, ssh};
use crate::manifest::model::{Bottle, BottleName};
use crate::manifest::node::{Key, Node};
use crate::manifest::problem::ProblemKind;
use crate::manifest::raw::KEYS;

/// Longest image reference: a name of 255, a tag of 128, a digest.
const MAX_IMAGE: usize = 512;

pub(super) fn check(checker: &mut Checker<'_>, name: BottleName, key: &Key, node: &Node) -> Option<Bottle> {
    let fields = checker.fields(node, &format!("bottle `{name}`"), &KEYS.bottle)?;
    let env = fields.get("env").map(|node| env::check(checker, node)).unwrap_or_default();
    let ssh = fields.get("ssh").map(|node| ssh::check(checker, node)).unwrap_or_default();
    let egress = fields.get("egress").map(|node| egress::check(checker, &name, node)).unwrap_or_default();
    let limits = fields.get("limits").map(|node| limits::check(checker, node)).unwrap_or_default();
    let image = fields.get("image").and_then(|node| image(checker, node));
    let options = fields.get("options").map(|node| options::check(checker, node)).unwrap_or_default();
    Some(Bottle { name, env, ssh, egress, limits, image, options, origin: checker.source.origin(key.span) })
}

/// Returns an image reference. The engine has the last word on its grammar; here only what can be no reference at
/// all is refused, above all what an engine could take for an option.
fn image(checker: &mut Checker<'_>, node: &Node) -> Option<String> {
    let text = checker.text(node, "`image`", Lines::One)?;
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    let accepted = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':' | '@');
    if !starts_well || text.len() > MAX_IMAGE || !text.chars().all(accepted) {
        let message = format!("`{text}` is no image reference");
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
