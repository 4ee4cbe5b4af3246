//! What becomes of a body in which a placeholder stands.

use super::*;
use crate::held::tests::held;
use crate::http::destination::inside;
use crate::http::head;

const HOLDER: &str = "placeholder-for-TOKEN";

fn secret(places: &str, more: &str) -> Held {
    let told = format!(
        r#"[{{"name": "TOKEN", "placeholder": "{HOLDER}", "hosts": ["a.example"], "places": [{places}]{more}}}]"#
    );
    held(&told, &[("TOKEN", "the&value\"1234")]).unwrap()
}

/// Returns what goes up of a body.
fn goes(held: &Held, media: &str, body: &str) -> Result<Option<String>, Code> {
    let text = format!(
        "POST /x HTTP/1.1\r\nHost: a.example\r\nContent-Type: {media}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let head = head::parse(text.as_bytes(), 16).unwrap();
    let host = claude_bottle_egress_policy::HostOrIp::parse("a.example").unwrap();
    let wanted = inside(&head, &host, 443).unwrap();
    let Some(fill) = held.body(&head, &wanted, (BodyLength::Known(body.len() as u64), Packing::Plain)) else {
        return Ok(None);
    };
    let filled = fill.fill(Bytes::copy_from_slice(body.as_bytes())).map_err(|denial| denial.code)?;
    let text = String::from_utf8(filled.body.to_vec()).unwrap();
    assert_eq!(filled.names.is_empty(), text == body, "{text}");
    Ok(Some(text))
}

#[test]
fn the_named_field_is_filled_and_nothing_else_changes() {
    let json = secret(r#""json: /auth/token""#, "");
    let check = |body: &str, expected: &str| {
        assert_eq!(
            goes(&json, "application/json; charset=utf-8", body),
            Ok(Some(expected.to_owned())),
            "{body}"
        );
    };
    let body = format!(r#"{{ "auth": {{"token" : "{HOLDER}"}}, "prompt":"{HOLDER}" }}"#);
    check(&body, &body.replacen(&format!("\"{HOLDER}\""), r#""the&value\"1234""#, 1));
    // Escaped it is the same text.
    check(
        &format!(r#"{{"auth":{{"token":"\u0070{}"}}}}"#, &HOLDER[1..]),
        r#"{"auth":{"token":"the&value\"1234"}}"#,
    );
    for text in [
        format!(r#"{{"auth":{{"token":"x{HOLDER}"}}}}"#),
        format!(r#"{{"auth":"{HOLDER}"}}"#),
        format!(r#"{{"auth":{{"token":["{HOLDER}"]}}}}"#),
        format!(r#"{{"auth":{{"token":"{HOLDER}"}}"#),
        HOLDER.to_owned(),
    ] {
        check(&text, &text);
    }
    let form = secret(r#""form: secret""#, "");
    let media = "application/x-www-form-urlencoded";
    let sent = format!("a={HOLDER}&secret={HOLDER}&b=1");
    let expected = format!("a={HOLDER}&secret=the%26value%221234&b=1");
    assert_eq!(goes(&form, media, &sent), Ok(Some(expected)));
    let text = format!("secret=x{HOLDER}&Secret={HOLDER}");
    assert_eq!(goes(&form, media, &text), Ok(Some(text)));
}

#[test]
fn of_another_type_or_place_a_body_is_not_read() {
    let json = secret(r#""json: /t", "bearer""#, "");
    let body = format!(r#"{{"t":"{HOLDER}"}}"#);
    for media in ["text/plain", "application/jsonx", "application/x-www-form-urlencoded", ""] {
        assert_eq!(goes(&json, media, &body), Ok(None), "{media}");
    }
    assert_eq!(goes(&secret(r#""bearer""#, ""), "application/json", &body), Ok(None));
    let of_other_requests = secret(r#""json: /t""#, r#", "requests": ["GET"]"#);
    assert_eq!(goes(&of_other_requests, "application/json", &body), Ok(None));
    assert_eq!(goes(&json, "application/json", &" ".repeat(64 * 1024 + 1)), Ok(None));
}

#[test]
fn twice_is_refused_and_so_is_anything_else_where_only_the_secret_goes() {
    let json = secret(r#""json: /t""#, "");
    let twice = format!(r#"{{"t":"{HOLDER}","t":"x"}}"#);
    assert_eq!(goes(&json, "application/json", &twice), Err(Code::BadRequest));
    let form = secret(r#""form: t""#, "");
    let media = "application/x-www-form-urlencoded";
    for text in [format!("t={HOLDER}&t=x"), format!("t=x&t={HOLDER}")] {
        assert_eq!(goes(&form, media, &text), Err(Code::BadRequest), "{text}");
    }
    assert_eq!(goes(&form, media, "t=x&t=y"), Ok(Some("t=x&t=y".to_owned())));
    let only = secret(r#""json: /t", "form: t""#, r#", "only": true"#);
    assert_eq!(goes(&only, "application/json", r#"{"t":"another-key"}"#), Err(Code::ForeignCredential));
    assert_eq!(goes(&only, media, "t=another"), Err(Code::ForeignCredential));
    assert!(goes(&only, "application/json", r#"{"u":"x"}"#).is_ok());
}
