//! Limits of the process that asked for a bottle, which only root may raise: the plan names those that hold inside too.

use rustix::process::{Resource, getpriority_process, getrlimit};
use rustix::thread::{CapabilitySet, capabilities};

/// What is limited, as a sentence has it, its unit, and the manifest's or this backend's own limit.
struct Limited {
    resource: Resource,
    what: &'static str,
    unit: &'static str,
    wanted: Option<u64>,
}

/// Returns a sentence for each limit that is lower than the bottle's own, without the capability to raise it:
/// <https://man7.org/linux/man-pages/man7/capabilities.7.html>.
pub(crate) fn sentences(processes: u64, file_bytes: u64) -> Vec<String> {
    let may = |capability| capabilities(None).is_ok_and(|sets| sets.effective.contains(capability));
    let mut sentences = Vec::new();
    if !may(CapabilitySet::SYS_RESOURCE) {
        sentences.extend(limits(processes, file_bytes));
    }
    if let Ok(niceness @ 1..) = getpriority_process(None)
        && !may(CapabilitySet::SYS_NICE)
    {
        sentences.push(format!("the niceness of the calling process stays: {niceness}"));
    }
    sentences
}

fn limits(processes: u64, file_bytes: u64) -> Vec<String> {
    let limited = |resource, what, unit, wanted| Limited { resource, what, unit, wanted };
    let all = [
        limited(Resource::Cpu, "processor time of each process", "s", None),
        limited(Resource::As, "address space of each process", "bytes", None),
        limited(Resource::Data, "data of each process", "bytes", None),
        limited(Resource::Fsize, "size of a file", "bytes", Some(file_bytes)),
        limited(Resource::Nproc, "number of processes", "of this user", Some(processes)),
        limited(Resource::Nofile, "number of open files", "", Some(1024)),
    ];
    all.iter().filter_map(|limited| limited.sentence(getrlimit(limited.resource).maximum)).collect()
}

impl Limited {
    fn sentence(&self, maximum: Option<u64>) -> Option<String> {
        let maximum = maximum.filter(|maximum| self.wanted.is_none_or(|wanted| *maximum < wanted))?;
        let sentence =
            format!("the calling process's limit on the {} stays: {maximum} {}", self.what, self.unit);
        Some(sentence.trim_end().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lower_limit_is_said_and_a_higher_is_not() {
        let check = |wanted, maximum, expected: Option<&str>| {
            let limited =
                Limited { resource: Resource::Fsize, what: "size of a file", unit: "bytes", wanted };
            assert_eq!(limited.sentence(maximum).as_deref(), expected);
        };
        check(Some(10), Some(9), Some("the calling process's limit on the size of a file stays: 9 bytes"));
        check(None, Some(9), Some("the calling process's limit on the size of a file stays: 9 bytes"));
        check(Some(10), Some(10), None);
        check(Some(10), None, None);
        check(None, None, None);
    }
}
