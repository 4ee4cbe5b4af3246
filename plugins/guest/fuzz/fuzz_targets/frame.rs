//! The reader of frames, which reads what a bottle sends, and the two ends of a channel's sequence.

#![no_main]

use std::iter;

use bottle_guest::pod::frame::{self, Frame, Kind, MOST_PAYLOAD};
use bottle_guest::pod::window::{Inbox, Outbox, WINDOW};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    let (mut inbox, mut outbox) = (Inbox::default(), Outbox::new(2));
    let mut last = 0;
    while let Ok(Some(frame)) = frame::read(&mut rest) {
        assert!(frame.payload.len() <= MOST_PAYLOAD);
        assert_eq!(frame::read(&mut &frame.bytes()[..]).unwrap().as_ref(), Some(&frame));
        let (kind, channel) = (frame.kind, frame.channel);
        match kind {
            Kind::Ack => drop(outbox.acknowledge(frame.seq)),
            Kind::Resumed => drop(outbox.rewind(frame.seq)),
            Kind::Out if outbox.has_room() => outbox.push(Kind::Out, frame.payload.to_vec()),
            _ if kind.is_sequenced() => {
                if inbox.accept(frame).is_err() {
                    continue;
                }
                // Each comes out once: early, where somebody looks for what is urgent, or in its turn.
                let mut out = if channel % 2 == 0 { inbox.urgent() } else { Vec::new() };
                out.extend(iter::from_fn(|| inbox.take()));
                for Frame { seq, .. } in out {
                    assert_eq!(seq, last + 1);
                    last = seq;
                }
            }
            _ => {}
        }
        while outbox.unsent().is_some() {}
        assert!(!outbox.has_unsent());
    }
    assert!(inbox.taken() == inbox.received() && WINDOW <= MOST_PAYLOAD);
});
