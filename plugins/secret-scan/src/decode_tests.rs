//! Encodings, alone and within each other.

use super::*;

#[test]
fn undoes_percent_encoding_however_deep() {
    let decoded = |text: &str| percent(text.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(decoded("a%41b"), Some("aAb".to_owned()));
    assert_eq!(decoded("a%2541b"), Some("aAb".to_owned()));
    assert_eq!(decoded(&format!("a%{}41b", "25".repeat(500))), Some("aAb".to_owned()));
    assert_eq!(decoded("%%34%31"), Some("A".to_owned()));
    assert_eq!(decoded("100% sure %zz"), None);
    assert_eq!(decoded("%4"), None);
}

#[test]
fn undoes_escapes() {
    let decoded = |text: &str| escapes(text.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(decoded(r"a\u0041\x42\/c\n"), Some("aAB/c\n".to_owned()));
    assert_eq!(decoded(r"\ud800x\u00zz"), Some("x\\u".to_owned()));
    assert_eq!(decoded("plain"), None);
    assert_eq!(decoded("end\\"), Some("end".to_owned()));
}

#[test]
fn decodes_runs() {
    assert_eq!(Runs::new(b"x=aGVsbG8gaGlkZGVuIHdvcmxk&y").base64(0), b"hello hidden world\n");
    assert_eq!(Runs::new(b"ZZaGVsbG8gaGlkZGVuIHdvcmxk").base64(2), b"hello hidden world\n");
    assert_eq!(Runs::new(b"/path/aGVsbG8gaGlkZGVuIHdvcmxk").base64(0), b"hello hidden world\n");
    assert_eq!(Runs::new(b"internationalisation").base64(0), b"");
    assert_eq!(Runs::new(b"NBSWY3DPEBUGSZDEMVXCA53POJWGI===").base32(), b"hello hidden world\n");
    assert_eq!(Runs::new(b"id=68656c6c6f20776f726c64;").hex(), b"hello world\n");
    assert_eq!(Runs::new(b"68:65:6c:6c:6f:20:77:6f:72:6c:64").hex(), b"hello world\n");
    assert_eq!(Runs::new(b"\\x68\\x65\\x6c\\x6c\\x6f\\x20\\x77\\x6f").hex(), b"hello wo\n");
    assert_eq!(Runs::new(b"0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x20, 0x77, 0x6f").hex(), b"hello wo\n");
    assert_eq!(Runs::new(b"da39a3ee5e6b4b0d3255bfef95601890afd80709").hex(), b"");
    assert_eq!(Runs::new(b"AAECAwQFBgcICQpoaWRkZW4gdGV4dAABAgMEBQYHCA==").base64(0), b"\t\nhidden text\n");
    assert_eq!(
        Runs::new("0YBhc3M60YFlY3JldA==".as_bytes()).base64(0),
        "\u{440}ass:\u{441}ecret\n".as_bytes()
    );
}

#[test]
fn decodes_wrapped_runs_in_one_piece() {
    let wrapped = b"x: aGVsbG8gaGlkZGVuI\r\nHdvcmxkIGFuZCBvdGhlc\r\nnM=\r\n";
    let whole = b"hello hidden world and others\n";
    assert!(Runs::new(wrapped).base64(0).ends_with(whole));
    let hex = b"68656c6c6f20776f726\nc6420616e64206f7468\n657273\n";
    assert!(Runs::new(hex).hex().ends_with(b"hello world and others\n"));
    // Lines that are not of letters alone are not put together.
    assert_eq!(Runs::new(b"aGVsbG8gaGlkZGVuI.\nHdvcmxkIGFuZCBvdGhlc\n").letters.len(), 2);
}
