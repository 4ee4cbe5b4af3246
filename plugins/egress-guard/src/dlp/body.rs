//! Bodies, looked at as they stream: in windows that overlap, and unpacked for the look when they are compressed.

use bytes::{Bytes, BytesMut};
use claude_bottle_egress_policy::HostOrIp;

use super::unpack::{Packing, PackingError, UNPACK_STEP, Unpacker};
use super::{Findings, Inspector, Scratch};

/// New bytes from which a look is worth it; fewer wait for more.
const STEP: usize = 16 * 1024;

/// Looks at one body.
///
/// It gives back what it has looked at, less the last bytes, which stay until it is clear how they go on, or until the
/// client pauses. So no byte of a secret that comes without a pause has left when the secret is recognised.
pub struct BodyScan<'a> {
    looker: Looker<'a>,
    packed: Window,
    unpacker: Option<Unpacker>,
    unpacked: Window,
    /// Whether the first bytes have said that the body is packed, or that it is not.
    is_known: bool,
}

impl<'a> BodyScan<'a> {
    /// Returns a scan for a body to `host`.
    pub fn new(inspector: &'a Inspector, host: &'a HostOrIp, packing: Packing) -> Self {
        let unpacker = (packing != Packing::Plain).then(|| Unpacker::new(packing));
        let (scratch, findings) = (Scratch::default(), Findings::default());
        Self {
            looker: Looker { inspector, host, form: false, scratch, findings },
            packed: Window::default(),
            is_known: unpacker.is_some(),
            unpacker,
            unpacked: Window::default(),
        }
    }

    /// Returns the scan for a body that is the fields of a form.
    #[must_use]
    pub fn of_form(mut self) -> Self {
        self.looker.form = true;
        self
    }

    /// Returns what has been found so far. When something in it blocks, nothing given back may be sent.
    pub fn findings(&self) -> &Findings {
        &self.looker.findings
    }

    /// Takes the next bytes, and gives back those that may go.
    pub fn push(&mut self, data: &[u8]) -> Result<Bytes, PackingError> {
        self.packed.bytes.extend_from_slice(data);
        if !self.is_known && self.packed.bytes.len() >= 2 {
            self.is_known = true;
            self.unpacker = Unpacker::by_beginning(&self.packed.bytes);
            if self.unpacker.is_some() {
                // With the byte of an earlier call, if there was one.
                let all = self.packed.bytes.clone();
                self.unpack(&all)?;
            }
        } else {
            self.unpack(data)?;
        }
        Ok(self.packed.advance(false, &mut self.looker))
    }

    /// Gives back what was held, at the end of the body.
    pub fn finish(&mut self) -> Result<Bytes, PackingError> {
        if let Some(unpacker) = self.unpacker.take() {
            self.unpacked.bytes.extend_from_slice(&unpacker.finish()?);
            drop(self.unpacked.advance(true, &mut self.looker));
        }
        Ok(self.packed.advance(true, &mut self.looker))
    }

    /// Gives back what is held because the next bytes might say more, when none come for a while: the client may wait for
    /// an answer to what it has sent. It stays in the window, so a secret that goes on later is recognised as a whole.
    ///
    /// What leaves of such a secret is what a request that ended here would have taken with it.
    pub fn pause(&mut self) -> Bytes {
        self.unpacked.look(&mut self.looker);
        self.packed.look(&mut self.looker);
        self.packed.give(&self.looker)
    }

    /// Tells whether there is something that [`pause`](Self::pause) would give back.
    pub fn holds_back(&self) -> bool {
        self.packed.given < self.packed.bytes.len()
    }

    /// What is unpacked is looked at only, never sent.
    fn unpack(&mut self, data: &[u8]) -> Result<(), PackingError> {
        let Some(mut unpacker) = self.unpacker.take() else { return Ok(()) };
        for step in data.chunks(UNPACK_STEP) {
            let Some(plain) = unpacker.push(step)? else {
                // Only its beginning looked packed. What could be unpacked of it is looked at all the same.
                drop(self.unpacked.advance(true, &mut self.looker));
                return Ok(());
            };
            self.unpacked.bytes.extend_from_slice(&plain);
            drop(self.unpacked.advance(false, &mut self.looker));
        }
        self.unpacker = Some(unpacker);
        Ok(())
    }
}

/// What looks at the pieces of one body, and what it has found.
struct Looker<'a> {
    inspector: &'a Inspector,
    host: &'a HostOrIp,
    form: bool,
    scratch: Scratch,
    findings: Findings,
}

impl Looker<'_> {
    /// Looks at a piece, and at what it makes together with the letters that went before it.
    fn look(&mut self, gone: &[u8], bytes: &[u8]) {
        let place = (self.host, self.form);
        merge(&mut self.findings, self.inspector.body_piece(bytes, place, &mut self.scratch));
        if !gone.is_empty() {
            let first = bytes.iter().copied().filter(u8::is_ascii_alphanumeric);
            let letters: Vec<u8> = gone.iter().copied().chain(first.take(self.inspector.longest())).collect();
            merge(&mut self.findings, self.inspector.body_letters(&letters));
        }
    }
}

fn merge(findings: &mut Findings, new: Findings) {
    findings.block = findings.block.take().or(new.block);
    findings.warn = findings.warn.take().or(new.warn);
}

/// Bytes of which the first have been looked at, and the very first have been given back.
#[derive(Default)]
struct Window {
    bytes: BytesMut,
    seen: usize,
    given: usize,
    /// The last letters and digits in front of the bytes, as many as the longest form of a secret has: between two
    /// characters of a secret there may be more blanks than a window holds.
    gone: Vec<u8>,
}

impl Window {
    /// Looks when enough is new, or at the end; gives back what no later look needs.
    fn advance(&mut self, end: bool, looker: &mut Looker<'_>) -> Bytes {
        if self.bytes.len() - self.seen < STEP && !end {
            return Bytes::new();
        }
        self.look(looker);
        self.take(if end { 0 } else { looker.inspector.overlap() }, looker)
    }

    /// Looks when something is new.
    fn look(&mut self, looker: &mut Looker<'_>) {
        if self.seen < self.bytes.len() {
            looker.look(&self.gone, &self.bytes);
            self.seen = self.bytes.len();
        }
    }

    /// Takes all but the last `keep` bytes, which have all been looked at, and gives back what it has not yet.
    fn take(&mut self, keep: usize, looker: &Looker<'_>) -> Bytes {
        let cut = self.bytes.len().saturating_sub(keep);
        let mut front = self.bytes.split_to(cut).freeze();
        self.remember(&front, looker.inspector.longest());
        let again = self.given.min(cut);
        bytes::Buf::advance(&mut front, again);
        (self.seen, self.given) = (self.seen - cut, self.given - again);
        front
    }

    /// Keeps the last letters and digits of what goes.
    fn remember(&mut self, front: &[u8], count: usize) {
        let last = front.iter().rev().copied().filter(u8::is_ascii_alphanumeric).take(count);
        let mut letters: Vec<u8> = last.chain(self.gone.iter().rev().copied()).take(count).collect();
        letters.reverse();
        self.gone = letters;
    }

    /// Gives back everything, and keeps the last bytes for the next look all the same.
    fn give(&mut self, looker: &Looker<'_>) -> Bytes {
        let rest = Bytes::copy_from_slice(&self.bytes[self.given..]);
        self.given = self.bytes.len();
        drop(self.take(looker.inspector.overlap(), looker));
        rest
    }
}
