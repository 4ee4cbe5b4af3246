//! What the kernel refuses to a program in a bottle: what it refuses on the bubblewrap backend, on every engine.

use claude_bottle_plugin_api::*;

use crate::support::{Run, backend};

#[path = "../../../guest/tests/support/probes.rs"]
mod probes;

#[test]
fn system_calls_are_answered_as_on_the_other_backend() {
    let backend = backend(&[]);
    let run = Run::new("calls", &[]);
    let live = run.start(&backend);
    let said = live.exec(&backend, &run, &["perl", "-e", &probes::script()], b"");
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), (probes::ALL_AS_EXPECTED, ""));
    #[cfg(target_arch = "x86_64")]
    {
        let said = live.sh(&backend, &run, probes::FOREIGN, b"");
        assert!(probes::FOREIGN_ENDS.contains(&said.stdout.as_str()), "{said:?}");
    }
    backend.close(&run.call(), &live.bottle).unwrap();
}
