//! Host names and authorities: what is canonical, and every spelling that is refused.

use super::*;

fn check(text: &str, expected: Result<&str, HostError>) {
    let got = HostOrIp::parse(text).map(|host| host.to_string());
    assert_eq!(got, expected.map(str::to_owned), "{text:?}");
}

#[test]
fn accepts_one_spelling() {
    for (text, canonical) in [
        ("example.org", "example.org"),
        ("EXAMPLE.Org", "example.org"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("a_b.example", "a_b.example"),
        ("_x.example", "_x.example"),
        ("localhost", "localhost"),
        ("1.2.3.example", "1.2.3.example"),
        ("0x.example", "0x.example"),
        ("203.0.113.7", "203.0.113.7"),
        ("[2001:DB8::1]", "[2001:db8::1]"),
        ("[::ffff:127.0.0.1]", "[::ffff:127.0.0.1]"),
    ] {
        check(text, Ok(canonical));
    }
}

#[test]
fn refuses_control_and_delimiter_characters() {
    for character in ['\0', '\r', '\n', '\t', ' ', '%', '/', '?', '#', ':', '*', '\\', '"', '<', '\x7f', ',']
    {
        let text = format!("exam{character}ple.org");
        check(&text, Err(HostError::ForbiddenCharacter { character }));
        let text = format!("example.org{character}.allowed.example");
        check(&text, Err(HostError::ForbiddenCharacter { character }));
    }
    check("user@example.org", Err(HostError::UserInfo));
    check("example.org]", Err(HostError::ForbiddenCharacter { character: ']' }));
}

#[test]
fn refuses_second_spellings() {
    check("", Err(HostError::Empty));
    check("example.org.", Err(HostError::TrailingDot));
    check("example.org..", Err(HostError::TrailingDot));
    check(".", Err(HostError::TrailingDot));
    check(".example.org", Err(HostError::EmptyLabel));
    check("example..org", Err(HostError::EmptyLabel));
    check("-a.example", Err(HostError::EdgeHyphen));
    check("a-.example", Err(HostError::EdgeHyphen));
    for text in ["bücher.example", "example。org", "ｅxample.org", "exam\u{200b}ple.org", "еxample.org"] {
        check(text, Err(HostError::NotAscii));
    }
    check(&"a".repeat(64), Err(HostError::TooLong));
    check(&vec!["a"; 128].join("."), Err(HostError::TooLong));
    assert!(Host::parse(&"a".repeat(63)).is_ok());
    assert!(Host::parse(&vec!["a"; 127].join(".")).is_ok());
}

#[test]
fn refuses_odd_notations_of_addresses() {
    for text in [
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "127.1",
        "127.0.1",
        "127.0.0.01",
        "0",
        "1.2.3.4.5",
        "256.1.1.1",
        "1.2.3.0x4",
        "example.0x7f",
        "example.7",
        "0x",
        "0X",
    ] {
        check(text, Err(HostError::OddIpNotation));
    }
    for text in [
        "[::1",
        "[]",
        "[fe80::1%eth0]",
        "[fe80::1%25eth0]",
        "[v1.x]",
        "[127.0.0.1]",
        "[example.org]",
        "[::1]x",
    ] {
        check(text, Err(HostError::BadIpv6));
    }
    check("::1", Err(HostError::ForbiddenCharacter { character: ':' }));
}

#[test]
fn reads_authorities() {
    let parse = |text| parse_authority(text, Some(80)).map(|(host, port)| format!("{host} {port}"));
    assert_eq!(parse("Example.org"), Ok("example.org 80".to_owned()));
    assert_eq!(parse("example.org:8080"), Ok("example.org 8080".to_owned()));
    assert_eq!(parse("[::1]:1"), Ok("[::1] 1".to_owned()));
    assert_eq!(parse("10.0.0.1:65535"), Ok("10.0.0.1 65535".to_owned()));
    assert_eq!(parse_authority("example.org", None), Err(HostError::MissingPort));
    for text in [
        "a:",
        "a:0",
        "a:65536",
        "a:080",
        "a:+80",
        "a: 80",
        "a:80 ",
        "a:8\0",
        "a:١",
        "[::1]:",
        "a:99999999999",
    ] {
        assert_eq!(parse(text), Err(HostError::BadPort), "{text:?}");
    }
    for text in ["u@a:80", "u:p@a:80", "allowed.example:443@evil.example:443"] {
        assert_eq!(parse(text), Err(HostError::UserInfo), "{text:?}");
    }
    assert_eq!(parse("a:1:2"), Err(HostError::ForbiddenCharacter { character: ':' }));
    assert_eq!(parse("[::1]80"), Err(HostError::BadIpv6));
}

#[test]
fn knows_what_lies_below_a_domain() {
    let host = |text| Host::parse(text).unwrap();
    assert!(host("a.example.org").is_below(&host("example.org")));
    assert!(host("b.a.example.org").is_below(&host("example.org")));
    assert!(!host("example.org").is_below(&host("example.org")));
    assert!(!host("evilexample.org").is_below(&host("example.org")));
    assert!(!host("org").is_below(&host("example.org")));
}
