//! Hellos built by hand: whole, split over records, cut short, and wrong in every field.

use super::*;

fn vector16(data: &[u8]) -> Vec<u8> {
    let mut bytes = u16::try_from(data.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(data);
    bytes
}

fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    [kind.to_be_bytes().to_vec(), vector16(data)].concat()
}

fn sni(name: &[u8]) -> Vec<u8> {
    extension(0, &vector16(&[vec![0], vector16(name)].concat()))
}

/// A handshake message with these extensions.
fn hello(extensions: &[u8]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend_from_slice(&[7; 32]);
    body.push(0);
    body.extend_from_slice(&vector16(&[0x13, 0x01]));
    body.extend_from_slice(&[1, 0]);
    body.extend_from_slice(&vector16(extensions));
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [vec![1, length[1], length[2], length[3]], body].concat()
}

fn records(message: &[u8], size: usize) -> Vec<u8> {
    message.chunks(size).flat_map(|part| [vec![22, 3, 1], vector16(part)].concat()).collect()
}

fn name_of(bytes: &[u8]) -> Result<Option<Option<String>>, HelloError> {
    parse(bytes).map(|hello| hello.map(|hello| hello.server_name))
}

#[test]
fn reads_the_name_however_it_is_split() {
    let message = hello(&[extension(10, &[0, 2, 0, 29]), sni(b"A.example"), extension(0x0a0a, &[])].concat());
    for size in [1, 2, 3, 5, 16, 40, message.len()] {
        let bytes = records(&message, size);
        assert_eq!(name_of(&bytes), Ok(Some(Some("A.example".to_owned()))), "records of {size}");
        for cut in 0..bytes.len() {
            assert_eq!(name_of(&bytes[..cut]), Ok(None), "records of {size} cut at {cut}");
        }
    }
}

#[test]
fn tells_when_there_is_no_name() {
    assert_eq!(name_of(&records(&hello(&[]), 100)), Ok(Some(None)));
    assert_eq!(name_of(&records(&hello(&extension(10, &[0, 2, 0, 29])), 100)), Ok(Some(None)));
}

#[test]
fn tells_when_an_inner_hello_is_hidden() {
    let bytes = records(&hello(&[sni(b"a.example"), extension(0xfe0d, &[0, 1])].concat()), 100);
    assert!(parse(&bytes).unwrap().unwrap().encrypted);
}

#[test]
fn refuses_other_protocols_at_the_first_byte() {
    for bytes in [
        &b"G"[..],
        b"GET / HTTP/1.1\r\n",
        b"SSH-2.0-x",
        b"\0",
        b"\x80\x2e\x01\x03\x01",
        b"\x17\x03\x03",
        b"PRI * HTTP/2.0",
    ] {
        assert_eq!(name_of(bytes), Err(HelloError::NotTls), "{}", bytes.escape_ascii());
    }
    assert_eq!(name_of(b"\x16\x02"), Err(HelloError::NotTls));
}

#[test]
fn refuses_malformed_hellos() {
    let malformed =
        |bytes: &[u8]| assert_eq!(name_of(bytes), Err(HelloError::Malformed), "{}", bytes.escape_ascii());
    malformed(b"\x16\x03\x01\0\0");
    malformed(b"\x16\x03\x01\x40\x01");
    malformed(b"\x16\x03\x01\0\x04\x02\0\0\0");
    let two_names = [vec![0], vector16(b"a.example"), vec![0], vector16(b"b.example")].concat();
    malformed(&records(&hello(&extension(0, &vector16(&two_names))), 500));
    malformed(&records(&hello(&[sni(b"a.example"), sni(b"b.example")].concat()), 500));
    malformed(&records(&hello(&sni(b"")), 500));
    malformed(&records(&hello(&sni(b"a\0.example")), 500));
    malformed(&records(&hello(&sni("ä.example".as_bytes())), 500));
    malformed(&records(&hello(&extension(0, &[0])), 500));
    malformed(&records(&hello(&[0, 0]), 500));
    let mut trailing = hello(&sni(b"a.example"));
    trailing.push(0);
    malformed(&records(&trailing, 500));
    let first = records(&hello(&sni(b"a.example")), 10);
    let interrupted = [&first[..15], b"\x15\x03\x01\0\x02\x02\x28", &first[15..]].concat();
    malformed(&interrupted);
}

#[test]
fn refuses_endless_hellos() {
    assert_eq!(name_of(b"\x16\x03\x01\0\x04\x01\xff\xff\xff"), Err(HelloError::TooLong));
    let drip: Vec<u8> = std::iter::repeat_n([22, 3, 1, 0, 1, 0], MAX_HELLO).flatten().collect();
    assert!(name_of(&[&[22, 3, 1, 0, 1, 1][..], &drip].concat()).is_err());
}
