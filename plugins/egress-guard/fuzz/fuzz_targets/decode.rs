//! Decoders, folding and the scan of bodies: total, bounded, and never losing a byte of a clean body.

#![no_main]

use std::sync::LazyLock;

use claude_bottle_egress_policy::{DlpConfig, GuardSecrets, HostOrIp};
use egress_guard::dlp::body::BodyScan;
use egress_guard::dlp::Inspector;
use egress_guard::dlp::unpack::Packing;
use libfuzzer_sys::fuzz_target;
use secret_scan::views;

static INSPECTOR: LazyLock<Inspector> = LazyLock::new(|| {
    let secrets = r#"[{"name":"TOKEN","value":"s3cr3tValue0123456789xyz"}]"#;
    let secrets = GuardSecrets::from_json(secrets).expect("the secrets are JSON");
    Inspector::new(&DlpConfig::default(), &secrets).expect("the rules compile")
});

fuzz_target!(|data: &[u8]| {
    let mut seen = 0;
    views::each(data, &mut views::Spare::default(), &mut |view| {
        seen += view.len();
        true
    });
    assert!(seen <= data.len() * 49 + 64 * 1024);
    let Some((first, body)) = data.split_first() else { return };
    let packing = [Packing::Plain, Packing::Gzip, Packing::Deflate][usize::from(first % 3)];
    let host = HostOrIp::parse("a.example").expect("a plain name");
    let mut scan = BodyScan::new(&INSPECTOR, &host, packing);
    let mut given = Vec::new();
    for (index, piece) in body.chunks(usize::from(*first).max(1)).enumerate() {
        let Ok(bytes) = scan.push(piece) else { return };
        given.extend_from_slice(&bytes);
        if index % 7 == 3 {
            given.extend_from_slice(&scan.pause());
        }
    }
    let Ok(rest) = scan.finish() else { return };
    given.extend_from_slice(&rest);
    assert_eq!(given, body);
});
