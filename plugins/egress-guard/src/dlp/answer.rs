//! The body of an answer from a host that secrets go to: one that comes back is masked, or the answer is broken off.

use bytes::{Bytes, BytesMut};

use super::mask::{Mask, Masking};
use super::unpack::{Packing, UNPACK_STEP, Unpacker};

/// So many bytes of a secret's beginning may have gone packed before it is known.
const MAY_GO: usize = 7;

/// Why an answer is broken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AnswerError {
    /// A secret came back where it cannot be overwritten.
    #[error("a secret came back in a packed answer, where it cannot be masked")]
    Reflected,
    /// A coding that cannot be unpacked here, or a fault in it.
    #[error("the answer of a host that secrets go to is packed in a way that cannot be looked into")]
    Unreadable,
}

/// Looks at one answer as it comes.
pub(crate) struct AnswerBody<'m> {
    masking: Masking<'m>,
    packed: Option<Packed>,
}

/// An answer that is unpacked for the look, and passed on as it came.
struct Packed {
    unpacker: Unpacker,
    waiting: BytesMut,
}

impl<'m> AnswerBody<'m> {
    pub(crate) fn new(mask: &'m Mask, packing: Packing) -> Self {
        let packed = || Packed { unpacker: Unpacker::new(packing), waiting: BytesMut::new() };
        Self { masking: Masking::new(mask), packed: (packing != Packing::Plain).then(packed) }
    }

    /// Takes the next bytes, and gives back those that may go.
    pub(crate) fn push(&mut self, data: Bytes) -> Result<Bytes, AnswerError> {
        let Some(packed) = &mut self.packed else { return Ok(self.masking.push(data)) };
        packed.waiting.extend_from_slice(&data);
        for step in data.chunks(UNPACK_STEP) {
            let plain = packed.unpacker.push(step).map_err(|_| AnswerError::Unreadable)?;
            drop(self.masking.push(plain.unwrap_or_default().into()));
        }
        if self.masking.found().is_some() {
            return Err(AnswerError::Reflected);
        }
        let is_open = self.masking.waiting() > MAY_GO;
        Ok(if is_open { Bytes::new() } else { packed.waiting.split().freeze() })
    }

    /// Returns `true` if there is something that [`pause`](Self::pause) could give back.
    pub(crate) fn holds_back(&self) -> bool {
        self.packed.is_none() && self.masking.waiting() > 0
    }

    /// Gives back what waits when nothing has come for a while.
    pub(crate) fn pause(&mut self) -> Bytes {
        if self.packed.is_some() { Bytes::new() } else { self.masking.pause() }
    }

    /// Gives back what waits, at the end.
    pub(crate) fn finish(&mut self) -> Result<Bytes, AnswerError> {
        let Some(packed) = self.packed.take() else { return Ok(self.masking.finish()) };
        let plain = packed.unpacker.finish().map_err(|_| AnswerError::Unreadable)?;
        drop(self.masking.push(plain.into()));
        drop(self.masking.finish());
        match self.masking.found() {
            Some(_) => Err(AnswerError::Reflected),
            None => Ok(packed.waiting.freeze()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    const VALUE: &str = "s3cr3tValue0123456789xyz";

    fn answer(body: &[u8], size: usize, packing: Packing) -> Result<Vec<u8>, (AnswerError, Vec<u8>)> {
        let mask = Mask::new(std::iter::once(("TOKEN", VALUE))).unwrap();
        let (mut look, mut given) = (AnswerBody::new(&mask, packing), Vec::new());
        for piece in body.chunks(size) {
            let passed = look.push(Bytes::copy_from_slice(piece)).map_err(|error| (error, given.clone()))?;
            given.extend_from_slice(&passed);
        }
        let rest = look.finish().map_err(|error| (error, given.clone()))?;
        given.extend_from_slice(&rest);
        Ok(given)
    }

    #[test]
    fn a_plain_answer_is_masked_and_a_packed_one_broken_off() {
        let text = format!("{}token: {VALUE}\n", "an ordinary line\n".repeat(20));
        let clean = text.replace(VALUE, "nothing");
        let expected = text.replace(VALUE, &"*".repeat(VALUE.len()));
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        let mut clean_gzip = GzEncoder::new(Vec::new(), Compression::best());
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        let mut bare = DeflateEncoder::new(Vec::new(), Compression::none());
        gzip.write_all(text.as_bytes()).unwrap();
        zlib.write_all(text.as_bytes()).unwrap();
        bare.write_all(text.as_bytes()).unwrap();
        clean_gzip.write_all(clean.as_bytes()).unwrap();
        let (gzip, zlib, bare) = (gzip.finish().unwrap(), zlib.finish().unwrap(), bare.finish().unwrap());
        let clean_gzip = clean_gzip.finish().unwrap();
        for size in [1, 7, 64, 100_000] {
            assert_eq!(answer(text.as_bytes(), size, Packing::Plain).unwrap(), expected.as_bytes());
            assert_eq!(
                answer(&clean_gzip, size, Packing::Gzip).unwrap(),
                clean_gzip,
                "bytes stay as they came"
            );
            for (body, packing) in
                [(&gzip, Packing::Gzip), (&zlib, Packing::Deflate), (&bare, Packing::Deflate)]
            {
                let (error, given) = answer(body, size, packing).unwrap_err();
                assert_eq!(error, AnswerError::Reflected);
                let part = &VALUE.as_bytes()[..MAY_GO + 1];
                assert!(!given.windows(part.len()).any(|window| window == part), "{size} {packing:?}");
            }
        }
        assert_eq!(answer(&gzip[..gzip.len() / 2], 7, Packing::Gzip).unwrap_err().0, AnswerError::Unreadable);
        assert_eq!(answer(b"not packed", 7, Packing::Gzip).unwrap_err().0, AnswerError::Unreadable);
        assert_eq!(answer(b"", 7, Packing::Gzip).unwrap(), b"");
    }
}
