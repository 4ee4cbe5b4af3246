//! The mask of a stream against a slow twin: whatever the pieces, no byte is lost or added, and no secret comes through.

#![no_main]

use std::sync::LazyLock;

use claude_bottle_egress_policy::GuardSecrets;
use egress_guard::dlp::Trial;
use libfuzzer_sys::fuzz_target;

/// Short ones of few letters, so that they overlap with themselves and each other.
const SECRETS: &str = r#"[{"name":"A","value":"abababab"},{"name":"B","value":"babaaaab"},{"name":"C","value":"a/b\"a/b\"ab"}]"#;

/// What may go of a secret's beginning when nothing follows it for a while.
const MAY_GO: usize = 4;

static TRIAL: LazyLock<Trial> = LazyLock::new(|| {
    let secrets = GuardSecrets::from_json(SECRETS).expect("the secrets are JSON");
    Trial::new(&secrets).expect("the secrets can be looked for")
});

fuzz_target!(|data: &[u8]| {
    let Some((first, text)) = data.split_first() else { return };
    // Few letters make many secrets.
    let text: Vec<u8> =
        text.iter().map(|byte| if byte & 0x80 == 0 { b"ab/\""[usize::from(byte % 4)] } else { *byte }).collect();
    let size = usize::from(first % 16) + 1;
    let pauses = first & 0x80 != 0;
    let pieces = text.chunks(size).map(|piece| (piece, pauses));
    let out = TRIAL.in_pieces(pieces);
    let twin = slow(&text);
    assert_eq!(out.len(), text.len());
    for (at, (came, expected)) in out.iter().zip(&twin).enumerate() {
        // What has gone in a pause cannot be overwritten any more.
        let may_differ = pauses && *expected == b'*' && came == &text[at];
        assert!(came == expected || may_differ, "at {at}: {:?} {:?}", came, expected);
    }
    if pauses {
        let clear = |form: &Vec<u8>| out.windows(form.len().max(MAY_GO + 1)).any(|window| window == form);
        assert!(!TRIAL.forms().iter().any(clear));
    }
});

fn slow(text: &[u8]) -> Vec<u8> {
    let mut masked = text.to_vec();
    for form in TRIAL.forms() {
        for (at, window) in text.windows(form.len()).enumerate() {
            if window == form {
                masked[at..at + form.len()].fill(b'*');
            }
        }
    }
    masked
}
