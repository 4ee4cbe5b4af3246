//! The lifeline: what keeps a bottle, and how it ends without it.

use bottle_guest::pod::{GUARD_GONE, LIFELINE_LOST};

use crate::support::{Host, Pod, Shape};

fn ends(pod: &Pod) -> (String, String) {
    (pod.end_of(&pod.guard()), pod.end_of(&pod.agent()))
}

fn lost() -> (String, String) {
    (LIFELINE_LOST.to_string(), GUARD_GONE.to_string())
}

#[test]
fn a_pod_that_no_host_knocks_at_ends() {
    let pod = Pod::shaped(Shape { wait: "1", ..Shape::default() });
    assert_eq!(ends(&pod), lost());
}

#[test]
fn a_bottle_whose_host_is_gone_ends_after_its_grace() {
    let pod = Pod::new();
    // Its end alone is not the bottle's: the grace is.
    drop(pod.link(Some(3)));
    let other = pod.link(None);
    assert!(other.welcome().is_some());
    assert_eq!(ends(&pod), lost());
}

#[test]
fn a_host_that_comes_back_finds_its_bottle() {
    let host = Host::new();
    let Host { pod, link } = host;
    drop(link);
    pod.cut();
    let host = Host { link: pod.link(Some(60)), pod };
    assert!(host.link.welcome().unwrap().has_policy);
    assert_eq!(host.sh("echo still here").out, "still here\n");
}
