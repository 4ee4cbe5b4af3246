//! ClientHellos: no input panics, more bytes never change what was said, and a found name is plain.

#![no_main]

use egress_guard::tls::hello::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let whole = parse(data);
    for cut in [data.len() / 4, data.len() / 2, data.len().saturating_sub(1)] {
        match parse(&data[..cut]) {
            // Undecided may become anything.
            Ok(None) => {}
            // A refusal stands, whatever comes.
            Err(_) => assert!(whole.is_err()),
            // A hello that was whole stays the same; what follows it is the client's own affair.
            Ok(Some(hello)) => assert_eq!(whole, Ok(Some(hello))),
        }
    }
    if let Ok(Some(hello)) = whole
        && let Some(name) = hello.server_name
    {
        assert!(!name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic()));
    }
});
