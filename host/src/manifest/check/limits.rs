//! Limits of a bottle. Each has bounds, so that a slip of the pen neither starves an agent nor lifts the limit.

use super::{Checker, Lines};
use crate::manifest::keys::KEYS;
use crate::manifest::model::Limits;
use crate::manifest::node::{Node, Value};
use crate::manifest::problem::ProblemKind;

/// Fewest processors, as Docker has it: <https://docs.docker.com/engine/containers/resource_constraints/#cpu>.
const MIN_CPUS: f64 = 0.01;
/// More processors than any machine of today has.
const MAX_CPUS: f64 = 4096.0;
/// Least memory: <https://docs.docker.com/engine/containers/resource_constraints/#memory>.
const MIN_MEMORY: u64 = 6 * 1024 * 1024;
/// Least shared memory: with less no program that needs some starts.
const MIN_SHM: u64 = 1024 * 1024;
/// Most processes Linux can have: `PID_MAX_LIMIT`, <https://man7.org/linux/man-pages/man5/proc_sys_kernel.5.html>.
const MAX_PIDS: u32 = 4_194_304;

pub(super) fn check(checker: &mut Checker<'_>, node: &Node) -> Limits {
    let Some(fields) = checker.fields(node, "`limits`", &KEYS.limits) else { return Limits::default() };
    Limits {
        cpus: fields.get("cpus").and_then(|node| cpus(checker, node)),
        memory_bytes: fields.get("memory").and_then(|node| amount(checker, node, &MEMORY)),
        pids: fields.get("pids").and_then(|node| pids(checker, node)),
        shm_bytes: fields.get("shm").and_then(|node| amount(checker, node, &SHM)),
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
            let message =
                format!("`{text}` is not a valid number of processors: use {MIN_CPUS} to {MAX_CPUS}");
            checker.report(ProblemKind::BadValue, node.span, message);
            None
        }
    }
}

/// An amount of memory: its key, what it is of, and the least of it.
struct Amount {
    key: &'static str,
    of: &'static str,
    least: (u64, &'static str),
}

const MEMORY: Amount = Amount { key: "`memory`", of: "memory", least: (MIN_MEMORY, "6m") };
const SHM: Amount = Amount { key: "`shm`", of: "shared memory", least: (MIN_SHM, "1m") };

fn amount(checker: &mut Checker<'_>, node: &Node, amount: &Amount) -> Option<u64> {
    if let Value::Number(_) = node.value {
        let note = "give the unit: `b`, `k`, `m` or `g`, such as `512m`, `4g` or `4GiB`".to_owned();
        checker.wrong_type(node, amount.key, "a number with its unit", Some(note));
        return None;
    }
    let text = checker.text(node, amount.key, Lines::One)?;
    let (of, (least, least_text)) = (amount.of, amount.least);
    let problem = match bytes(text) {
        None => {
            format!(
                "`{text}` is not a memory size: write a whole number and its unit, such as `512m`, `4g` or `4GiB`"
            )
        }
        Some(bytes) if bytes < least => {
            format!("`{text}` of {of} is too little: it is at least `{least_text}`")
        }
        Some(bytes) => return Some(bytes),
    };
    checker.report(ProblemKind::BadValue, node.span, problem);
    None
}

/// Returns the bytes for a number and a unit, each unit 1024 of the one before, however it is spelled: `g`, `GB` and `GiB` are
/// the same, as for Docker.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

fn pids(checker: &mut Checker<'_>, node: &Node) -> Option<u32> {
    let Value::Number(text) = &node.value else {
        checker.wrong_type(node, "`pids`", "a number", None);
        return None;
    };
    match text.parse::<u32>() {
        Ok(pids) if (1..=MAX_PIDS).contains(&pids) => Some(pids),
        _ => {
            let message = format!(
                "`{text}` is not a valid number of processes: use a whole number from 1 to {MAX_PIDS}"
            );
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
        for text in ["4GiB", "4GB", "4gb", "4096MiB", "4096mb", "4194304KiB"] {
            check(text, Some(4 << 30));
        }
        for text in [
            "",
            "g",
            "4",
            "4gbit",
            "4bib",
            "4gi",
            "-4g",
            "4.5g",
            "0x4g",
            "4 g",
            "99999999999999999999g",
            "99999999999g",
            "4é",
        ] {
            check(text, None);
        }
    }
}
