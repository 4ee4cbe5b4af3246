//! From launch to close, and what a program in a bottle is.

use crate::support::Bench;

#[test]
fn a_bottle_runs_a_program_and_leaves_nothing() {
    let bench = Bench::new();
    let live = bench.launch(&bench.spec("basic"));
    let said = live.run(&["sh", "-c", "cat; pwd; id -u; id -un; echo oops >&2; exit 7"], "hello\n");
    assert_eq!((said.code, said.err.as_str()), (7, "oops\n"), "{said:?}");
    assert_eq!(said.out, "hello\n/home/node\n1000\nnode\n");
    let pids = live.pids();
    live.close();
    for pid in pids {
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    }
    assert_eq!(std::fs::read_dir(bench.bottles()).unwrap().count(), 0);
    live.close();
}
