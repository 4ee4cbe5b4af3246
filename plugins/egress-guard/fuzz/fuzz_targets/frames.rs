//! Frames of WebSockets: whatever the pieces, the same frames come out, byte for byte as they came, and none that is too long.

#![no_main]

use bytes::BytesMut;
use egress_guard::http::frame::{Frame, FrameError, FrameReader, MOST_FRAME, Side};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((first, bytes)) = data.split_first() else { return };
    let side = if first & 1 == 0 { Side::Client } else { Side::Server };
    let size = usize::from(first >> 1) + 1;
    let whole = read(side, [bytes].into_iter());
    let pieces = read(side, bytes.chunks(size));
    assert_eq!(whole, pieces);
    let (frames, _) = whole;
    let gone: Vec<u8> = frames.iter().flat_map(|frame| frame.bytes().iter().copied()).collect();
    assert!(bytes.starts_with(&gone));
    for frame in &frames {
        assert!(frame.payload().len() <= MOST_FRAME && frame.payload().len() < frame.bytes().len());
        if frame.is_control() {
            assert!(frame.payload().len() <= 125);
        }
        if side == Side::Server {
            assert_eq!(frame.with_payload(&frame.payload()), frame.bytes());
        }
    }
});

fn read<'p>(side: Side, pieces: impl Iterator<Item = &'p [u8]>) -> (Vec<Frame>, Option<FrameError>) {
    let (mut reader, mut buffer, mut frames) = (FrameReader::new(side), BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match reader.next(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}
