//! Limits of a bottle. Each has bounds, so that a slip of the pen neither starves an agent nor lifts the limit.

use super::{Checker, Lines};
use crate::manifest::model::Limits;
use crate::manifest::node::{Node, Value};
use crate::manifest::problem::ProblemKind;
use crate::manifest::raw::KEYS;

/// Fewest processors, as Docker has it: <https://docs.docker.com/engine/containers/resource_constraints/#cpu>.
const MIN_CPUS: f64 = 0.01;
/// More processors than any machine of today has.
const MAX_CPUS: f64 = 4096.0;
/// Least memory: <https://docs.docker.com/engine/containers/resource_constraints/#memory>.
const MIN_MEMORY: u64 = 6 * 1024 * 1024;
/// Most processes Linux can have: `PID_MAX_LIMIT`, <https://man7.org/linux/man-pages/man5/proc_sys_kernel.5.html>.
const MAX_PIDS: u32 = 4_194_304;

pub(super) fn check(checker: &mut Checker<'_>, node: &Node) -> Limits {
    let Some(fields) = checker.fields(node, "`limits`", &KEYS.limits) else { return Limits::default() };
    Limits {
        cpus: fields.get("cpus").and_then(|node| cpus(checker, node)),
        memory_bytes: fields.get("memory").and_then(|node| memory(checker, node)),
        pids: fields.get("pids").and_then(|node| pids(checker, node)),
    }
}

fn cpus(checker: &mut Checker<'_>, node: &Node) -> Option<f64> {
    let Value::Number(text) = &node.value else {
        checker.wrong_type(node, "`cpus`", "a number", None);
        return None;
    };
    match text.parse::<f64>() {
        Ok(cpus) if (MIN_CPUS..=MAX_CPUS).contains(&cpus) => Some(cpus),
        _ => {
            let message = format!("`{text}` is no number of processors: it is from {MIN_CPUS} to {MAX_CPUS}");
            checker.report(ProblemKind::BadValue, node.span, message);
            None
        }
    }
}

fn memory(checker: &mut Checker<'_>, node: &Node) -> Option<u64> {
    if let Value::Number(_) = node.value {
        let note = "say the unit: `b`, `k`, `m` or `g`, such as `512m` or `4g`".to_owned();
        checker.wrong_type(node, "`memory`", "a number with its unit", Some(note));
        return None;
    }
    let text = checker.text(node, "`memory`", Lines::One)?;
    let problem = match bytes(text) {
        None => {
            format!(
                "`{text}` is no amount of memory: it is a whole number and `b`, `k`, `m` or `g`, such as `4g`"
            )
        }
        Some(bytes) if bytes < MIN_MEMORY => format!("`{text}` of memory is too little: it is at least `6m`"),
        Some(bytes) => return Some(bytes),
    };
    checker.report(ProblemKind::BadValue, node.span, problem);
    None
}

/// Returns the bytes for a number and a unit, each unit 1024 of the one before.
fn bytes(text: &str) -> Option<u64> {
    let unit = text.chars().next_back()?;
    let digits = &text[..text.len() - unit.len_utf8()];
    let factor: u64 = match unit.to_ascii_lowercase() {
        'b' => 1,
        'k' => 1 << 10,
        'm' => 1 << 20,
        'g' => 1 << 30,
        _ => return None,
    };
    let is_plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_plain.then(|| digits.parse::<u64>().ok()?.checked_mul(factor)).flatten()
}

fn pids(checker: &mut Checker<'_>, node: &Node) -> Option<u32> {
    let Value::Number(text) = &node.value else {
        checker.wrong_type(node, "`pids`", "a number", None);
        return None;
    };
    match text.parse::<u32>() {
        Ok(pids) if (1..=MAX_PIDS).contains(&pids) => Some(pids),
        _ => {
            let message = format!("`{text}` is no number of processes: it is whole and from 1 to {MAX_PIDS}");
            checker.report(ProblemKind::BadValue, node.span, message);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn memory_is_a_number_and_a_unit() {
        let check = |text, expected| assert_eq!(bytes(text), expected, "{text}");
        check("4g", Some(4 << 30));
        check("512M", Some(512 << 20));
        check("6291456b", Some(6 << 20));
        for text in
            ["", "g", "4", "4gb", "-4g", "4.5g", "0x4g", "4 g", "99999999999999999999g", "99999999999g", "4é"]
        {
            check(text, None);
        }
    }
}
