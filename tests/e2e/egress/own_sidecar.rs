//! A bottle's own sidecar is a proxy and nothing else: it answers no datagram and no name, and leads to no resolver.

use super::below_http::LOOPBACK;
use super::session::Session;

const SWEEP: &str = include_str!("sweep.pl");

/// The question for `example.test`, as a resolver over HTTPS takes it: <https://www.rfc-editor.org/rfc/rfc8484>.
const DOH: &str = "dns-query?dns=AAcBAAABAAAAAAAAB2V4YW1wbGUEdGVzdAAAAQAB";

/// Returns the ports of an address that answer.
fn sweep(session: &mut Session, address: &str) -> String {
    session.ok(&format!("perl - {address} <<'END-OF-SWEEP'\n{SWEEP}\nEND-OF-SWEEP"))
}

/// Fails when the sidecar answers to anything but a proxy's request, or when a resolver can be asked through it.
///
/// The neighbour, who serves TCP port 7777 and is asked by itself, shows that this way of asking finds what is there.
pub(super) fn assert_only_a_proxy(
    inside: &mut Session,
    sidecar: &str,
    neighbour: (&mut Session, &str),
    resolver: &str,
) {
    let (beside, address) = neighbour;
    beside.ok(
        "socat UDP4-LISTEN:7778,fork PIPE & until [ \"$(echo hi | socat -t 1 - UDP4:127.0.0.1:7778)\" = hi ]; do :; done",
    );
    // On its own loopback a bottle has its end of the link, and its name server.
    let (expected, ours) = match address == LOOPBACK {
        true => ("udp 53\nudp 7778\ntcp 53\ntcp 7777\ntcp 8888", "udp 53\ntcp 53\ntcp 8888"),
        false => ("udp 7778\ntcp 7777", "tcp 8888"),
    };
    assert_eq!(sweep(beside, address), expected, "the control");
    assert_eq!(sweep(inside, sidecar), ours);
    let code = "curl -s -m 5 -o /tmp/body -w '%{http_code}'";
    assert_eq!(inside.ok(&format!("{code} http://{resolver}/{DOH}")), "403");
    inside.all_fail(&[
        format!("curl -sS -m 5 https://{resolver}/{DOH}"),
        format!("curl -sS -m 5 --noproxy '*' https://{resolver}/{DOH}"),
        format!("curl -sS -m 5 --noproxy '*' http://{resolver}/{DOH}"),
        format!("curl -sS -m 5 --noproxy '*' https://{sidecar}/{DOH}"),
        format!("curl -sS -m 5 --noproxy '*' http://{sidecar}:53/{DOH}"),
    ]);
}
