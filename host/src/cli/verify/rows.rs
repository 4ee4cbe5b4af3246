//! The claims, and what the probe's findings say about each.

use serde::{Deserialize, Serialize};

/// What the probe says of one check: see `plugins/guest/src/probe`.
#[derive(Debug, Deserialize)]
pub(super) struct Finding {
    pub(super) id: String,
    pub(super) tries: usize,
    pub(super) broken: Vec<String>,
    #[serde(default)]
    pub(super) untried: Option<String>,
}

/// What was tried in a bottle.
pub(super) struct Tried {
    /// What the probe found, as far as it came.
    pub(super) findings: Vec<Finding>,
    /// How it ended, where that was not by itself.
    pub(super) ended: Option<String>,
    /// What isolates the bottle, as its plan says it.
    pub(super) runtime: Option<String>,
    /// What the backend cannot give here, as the plan says it.
    pub(super) limitations: Vec<String>,
    /// Whether the backend enforces the policy.
    pub(super) has_proxy: bool,
    /// Whether it enforces limits.
    pub(super) has_limits: bool,
}

/// A claim, and whether it holds here. Its keys are a contract.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    /// The claim's name in docs/security.md.
    pub(super) id: &'static str,
    /// The claim.
    pub(super) claim: &'static str,
    /// Whether it holds.
    pub(super) here: Here,
    /// How much was tried.
    pub(super) tries: usize,
    /// What was not kept from the agent.
    pub(super) found: Vec<String>,
    /// Why nothing was tried.
    pub(super) because: Option<String>,
}

/// Whether a claim holds here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Here {
    /// All of it was tried, and refused.
    Holds,
    /// Something was not kept, or the probe did not come to it.
    Fails,
    /// It is not claimed of this bottle on this machine.
    NotTried,
}

/// What a claim is about, where a bottle may be without.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Every,
    Policy,
    Limits,
    /// What gVisor does in another way.
    HostKernel,
}

const CLAIMS: [(&str, &str, Of); 13] = [
    ("powers", "the agent has no capability and cannot get one, and its calls are filtered", Of::HostKernel),
    (
        "processes",
        "the agent sees the bottle's processes alone, and the memory of the first is shut",
        Of::Every,
    ),
    ("calls", "namespaces, mounts, raw sockets and other kernels' doors are refused", Of::HostKernel),
    ("direct", "nothing is reached past the proxy: not this machine, a gateway or the world", Of::Policy),
    ("proxy", "the proxy refuses what no rule allows, by name and by address", Of::Policy),
    ("names", "no name server outside is known, and no name without a rule has an address", Of::Policy),
    ("sockets", "no socket of this machine is inside", Of::Every),
    ("files", "files of this machine that are not granted are not inside", Of::Every),
    ("written", "what decides about programs, names and the kernel cannot be written", Of::Every),
    ("trust", "no file of trusted authorities can be written or replaced", Of::Policy),
    ("secrets", "a secret that the guard holds is in no variable, argument or file", Of::Policy),
    ("limit-processes", "more processes than the limit are refused", Of::Limits),
    ("limit-memory", "more memory than the limit is refused, or ends the program", Of::Limits),
];

/// Returns a row for each claim. One that the probe did not come to fails.
pub(super) fn judge(tried: &Tried) -> Vec<Row> {
    CLAIMS.iter().map(|&(id, claim, of)| row(tried, (id, claim, of))).collect()
}

fn row(tried: &Tried, (id, claim, of): (&'static str, &'static str, Of)) -> Row {
    let base = Row { id, claim, here: Here::Fails, tries: 0, found: Vec::new(), because: None };
    if let Some(because) = absence(tried, id, of) {
        return Row { here: Here::NotTried, because: Some(because), ..base };
    }
    let Some(finding) = tried.findings.iter().find(|finding| finding.id == id) else {
        let ended = tried.ended.as_deref().unwrap_or("it said nothing of it");
        return Row { found: vec![format!("the probe did not come to it: {ended}")], ..base };
    };
    let (tries, found) = (finding.tries, finding.broken.clone());
    match &finding.untried {
        Some(why) => Row { here: Here::NotTried, because: Some(why.clone()), ..base },
        None if found.is_empty() && tries > 0 => Row { here: Here::Holds, tries, ..base },
        None => Row { tries, found, ..base },
    }
}

/// Returns why a claim is not one about this bottle.
fn absence(tried: &Tried, id: &str, of: Of) -> Option<String> {
    let is_gvisor = tried.runtime.as_ref().is_some_and(|runtime| runtime.contains("runsc"));
    match of {
        Of::Policy if !tried.has_proxy => Some("the backend enforces no egress policy".to_owned()),
        Of::Limits if !tried.has_limits => Some("the backend enforces no limits".to_owned()),
        Of::Limits if is_gvisor => Some("in gVisor a limit ends the whole bottle".to_owned()),
        Of::HostKernel if is_gvisor => Some("in gVisor another kernel answers calls".to_owned()),
        Of::Limits => {
            let what = id.trim_start_matches("limit-");
            let is_about = |text: &&String| text.contains(what) && text.contains("not enforced");
            tried.limitations.iter().find(is_about).cloned()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(findings: Vec<Finding>) -> Tried {
        let (runtime, limitations) = (None, Vec::new());
        Tried {
            findings,
            ended: Some("killed".to_owned()),
            runtime,
            limitations,
            has_proxy: true,
            has_limits: true,
        }
    }

    fn finding(id: &str, tries: usize, broken: &[&str]) -> Finding {
        let broken = broken.iter().map(|text| (*text).to_owned()).collect();
        Finding { id: id.to_owned(), tries, broken, untried: None }
    }

    fn here(tried: &Tried, id: &str) -> Here {
        judge(tried).into_iter().find(|row| row.id == id).unwrap().here
    }

    #[test]
    fn what_was_not_tried_or_did_not_end_never_holds() {
        let all =
            tried(vec![finding("powers", 7, &[]), finding("calls", 0, &[]), finding("files", 2, &["x"])]);
        assert_eq!(here(&all, "powers"), Here::Holds);
        for id in ["calls", "files", "sockets"] {
            assert_eq!(here(&all, id), Here::Fails, "{id}");
        }
        assert!(judge(&all).iter().any(|row| row.found == ["the probe did not come to it: killed"]));
    }

    #[test]
    fn what_a_backend_does_not_claim_is_not_tried_and_says_why() {
        let mut all = tried(Vec::new());
        (all.has_proxy, all.has_limits) = (false, false);
        for id in ["direct", "proxy", "limit-memory"] {
            assert_eq!(here(&all, id), Here::NotTried, "{id}");
        }
        assert_eq!(here(&all, "files"), Here::Fails);
        all.runtime = Some("runsc (gVisor)".to_owned());
        assert_eq!(here(&all, "calls"), Here::NotTried);
    }
}
