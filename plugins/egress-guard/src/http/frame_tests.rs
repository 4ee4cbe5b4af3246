//! Frames: what is read, what is refused, and that it does not matter how they arrive.

use proptest::prelude::*;

use super::*;

/// Writes a frame, masked when it is a client's.
fn written(side: Side, first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [7, 0, 255, 42];
    let bit = if side == Side::Client { MASKED } else { 0 };
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(bit | length as u8),
        length @ 126..=0xffff => bytes.extend([&[bit | 126], &(length as u16).to_be_bytes()[..]].concat()),
        length => bytes.extend([&[bit | 127], &(length as u64).to_be_bytes()[..]].concat()),
    }
    if side == Side::Client {
        bytes.extend(key);
        bytes.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    } else {
        bytes.extend(payload);
    }
    bytes
}

#[test]
fn what_is_not_a_frame_of_its_side_is_refused() {
    let check = |side: Side, bytes: &[u8], expected: FrameError| {
        let read = FrameReader::new(side).next(&mut BytesMut::from(bytes));
        assert_eq!(read, Err(expected), "{side:?} {bytes:?}");
    };
    use FrameError::{Malformed, TooLarge};
    check(Side::Client, &written(Side::Server, 0x81, b"x"), Malformed);
    check(Side::Server, &written(Side::Client, 0x81, b"x"), Malformed);
    // Compressed, an unknown kind, a continuation of nothing, a control frame in two parts, and a long one.
    for first in [0xc1, 0x91, 0xa1, 0x83, 0x8b, 0x80, 0x00, 0x08, 0x09] {
        check(Side::Server, &written(Side::Server, first, b"x"), Malformed);
    }
    check(Side::Server, &written(Side::Server, 0x89, &[b'x'; 126]), Malformed);
    check(Side::Server, &[0x82, 127, 0, 0, 0, 0, 1, 0, 0, 1], TooLarge);
    check(Side::Server, &[0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255], TooLarge);
    // A message within a message.
    let mut reader = FrameReader::new(Side::Server);
    let mut buffer =
        BytesMut::from(&[written(Side::Server, 1, b"a"), written(Side::Server, 0x81, b"b")].concat()[..]);
    assert!(reader.next(&mut buffer).unwrap().is_some());
    assert_eq!(reader.next(&mut buffer), Err(Malformed));
}

#[test]
fn the_end_has_a_code_and_a_reason() {
    let bytes = close(1008, "dlp_secret");
    let frame = FrameReader::new(Side::Server).next(&mut BytesMut::from(&bytes[..])).unwrap().unwrap();
    assert!(frame.is_control());
    assert_eq!(*frame.payload(), *b"\x03\xf0dlp_secret");
    assert_eq!(close(1008, &"x".repeat(300)).len(), 127);
}

proptest! {
    #[test]
    fn frames_are_read_however_they_arrive(
        messages in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..300), any::<bool>()), 1..6),
        size in 1..70_usize,
        is_client in any::<bool>(),
    ) {
        let side = if is_client { Side::Client } else { Side::Server };
        let mut all = Vec::new();
        for (payload, is_split) in &messages {
            let (first, second) = payload.split_at(if *is_split { payload.len() / 2 } else { 0 });
            if *is_split {
                all.push((written(side, 0x01, first), first.to_vec()));
                all.push((written(side, 0x89, b"ping"), b"ping".to_vec()));
                all.push((written(side, 0x80, second), second.to_vec()));
            } else {
                all.push((written(side, 0x82, second), second.to_vec()));
            }
        }
        let bytes: Vec<u8> = all.iter().flat_map(|(frame, _)| frame.clone()).collect();
        let (mut reader, mut buffer, mut read) = (FrameReader::new(side), BytesMut::new(), Vec::new());
        for piece in bytes.chunks(size) {
            buffer.extend_from_slice(piece);
            while let Some(frame) = reader.next(&mut buffer).unwrap() {
                read.push((frame.bytes().to_vec(), frame.payload().into_owned()));
            }
        }
        prop_assert!(buffer.is_empty());
        prop_assert_eq!(read, all);
    }

    #[test]
    fn no_bytes_are_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..400), is_client in any::<bool>()) {
        let side = if is_client { Side::Client } else { Side::Server };
        let (mut reader, mut buffer) = (FrameReader::new(side), BytesMut::from(&bytes[..]));
        let mut taken = Vec::new();
        while let Ok(Some(frame)) = reader.next(&mut buffer) {
            taken.extend_from_slice(frame.bytes());
        }
        taken.extend_from_slice(&buffer);
        prop_assert_eq!(taken, bytes);
    }
}
