//! For every request, what goes up is what came, but for the one span that is a placeholder.

use claude_bottle_egress_policy::{HostOrIp, Scheme};
use proptest::prelude::*;

use super::tests::held;
use crate::http::destination::Destination;
use crate::http::head::{Header, RequestHead, Version};

const HOLDER: &str = "placeholder-for-TOKEN";
const VALUE: &str = "the-value-of-TOKEN";
const SECRETS: &str = r#"[{"name": "TOKEN", "placeholder": "placeholder-for-TOKEN", "hosts": ["a.example"],
    "places": ["bearer", "header: x-api-key", "header: authorization", "query: key", "path: /bot{}/"]}]"#;

/// Text in which whole, cut and doubled placeholders stand at every edge.
fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => Just(HOLDER.to_owned()),
        1 => (1..HOLDER.len()).prop_map(|cut| HOLDER[..cut].to_owned()),
        1 => (1..HOLDER.len()).prop_map(|cut| HOLDER[cut..].to_owned()),
        2 => "[ -~]{0,3}",
        2 => prop_oneof![Just("Bearer "), Just("token  "), Just("Basic "), Just("?key="), Just("&"), Just("/bot"), Just("/")]
            .prop_map(str::to_owned),
    ];
    prop::collection::vec(part, 0..5).prop_map(|parts| parts.concat())
}

fn request() -> impl Strategy<Value = RequestHead> {
    let name = prop_oneof![
        Just("authorization"),
        Just("x-api-key"),
        Just("cookie"),
        Just("user-agent"),
        Just("x-note"),
        Just("x-auth-token")
    ];
    let header = (name, text())
        .prop_map(|(name, value)| Header { name: name.to_owned(), value: value.trim().as_bytes().to_vec() });
    (text(), prop::collection::vec(header, 0..4)).prop_map(|(target, headers)| {
        let target = format!("/{}", target.trim_start_matches('/').replace(' ', "+"));
        RequestHead { method: "GET".to_owned(), target, version: Version::Http11, headers }
    })
}

/// Returns `true` if `up` is `came` with one placeholder replaced.
fn is_one_span(came: &str, up: &str) -> bool {
    came.match_indices(HOLDER)
        .any(|(at, _)| format!("{}{VALUE}{}", &came[..at], &came[at + HOLDER.len()..]) == up)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn what_goes_up_is_what_came_but_for_the_one_span(head in request(), is_own in any::<bool>()) {
        let held = held(SECRETS, &[("TOKEN", VALUE)]).unwrap();
        let host = HostOrIp::parse(if is_own { "a.example" } else { "b.example" }).unwrap();
        let wanted = Destination { scheme: Scheme::Https, host, port: 443, path: head.target.clone() };
        let Ok(put) = held.put_into(&head, &wanted) else { return Ok(()) };
        prop_assert!(put.added().is_none());
        let mut changed = 0;
        if let Some(target) = put.target() {
            prop_assert!(is_own && is_one_span(&head.target, target), "{} {target}", head.target);
            changed += 1;
        }
        for (index, header) in head.headers.iter().enumerate() {
            let came = String::from_utf8(header.value.clone()).unwrap();
            let Some(value) = put.header(index) else { continue };
            let up = value.to_str().unwrap();
            let is_place = matches!(header.name.as_str(), "authorization" | "x-api-key");
            // The credential is the whole rest of the value, so there is nothing behind it.
            prop_assert!(is_own && is_place && came.ends_with(HOLDER) && is_one_span(&came, up), "{came} {up}");
            changed += 1;
        }
        prop_assert_eq!(changed > 0, !put.names().is_empty());
    }
}
