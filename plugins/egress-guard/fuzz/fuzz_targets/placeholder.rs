//! The finder of places: what goes up is what came, but for spans that are a placeholder.

#![no_main]

use std::sync::LazyLock;

use claude_bottle_egress_policy::{GuardSecrets, HeldSecret, HostOrIp, Scheme};
use egress_guard::held::Held;
use egress_guard::http::destination::inside;
use egress_guard::http::head;
use libfuzzer_sys::fuzz_target;

const HOLDER: &str = "placeholder-for-T";
const VALUE: &str = "the-value-of-T";

static HELD: LazyLock<Held> = LazyLock::new(|| {
    let told = r#"[{"name":"T","placeholder":"placeholder-for-T","hosts":["a.example"],
        "places":["bearer","basic","header: x-api-key","header: authorization","query: key","path: /bot{}/"]}]"#;
    let told: Vec<HeldSecret> = serde_json::from_str(told).expect("the secrets are JSON");
    let secrets = format!(r#"[{{"name":"T","value":"{VALUE}"}}]"#);
    let secrets = GuardSecrets::from_json(&secrets).expect("the values are JSON");
    Held::new(&told, &secrets).expect("the values can be put in")
});

fuzz_target!(|data: &[u8]| {
    let Ok(Some(end)) = head::find_end(data, 0) else { return };
    let Ok(head) = head::parse(&data[..end], 64) else { return };
    for (name, is_own) in [("a.example", true), ("b.example", false)] {
        let host = HostOrIp::parse(name).expect("a plain name");
        let Ok(wanted) = inside(&head, &host, 443) else { continue };
        assert_eq!(wanted.scheme, Scheme::Https);
        let Ok(lines) = HELD.trial(&head, &wanted) else { continue };
        for (came, up) in lines {
            assert!(is_own, "put in towards {name}");
            assert!(one_span(&came, &up) || basic(&came, &up), "{came:?} {up:?}");
        }
    }
});

fn one_span(came: &str, up: &str) -> bool {
    came.match_indices(HOLDER)
        .any(|(at, _)| format!("{}{VALUE}{}", &came[..at], &came[at + HOLDER.len()..]) == up)
}

fn basic(came: &str, up: &str) -> bool {
    use base64::Engine as _;
    let decode = |text: &str| {
        let (_, code) = text.rsplit_once(' ')?;
        String::from_utf8(base64::engine::general_purpose::STANDARD.decode(code).ok()?).ok()
    };
    matches!((decode(came), decode(up)), (Some(came), Some(up)) if one_span(&came, &up))
}
