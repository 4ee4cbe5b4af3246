//! How long a request body is, and the strict decoder of chunked bodies.

use bytes::{Buf, Bytes, BytesMut};

use super::head::{HeadError, RequestHead, Version, is_token_byte};

/// Digits of a chunk size; more than any real chunk needs, and far from overflowing.
const MAX_SIZE_DIGITS: usize = 12;

/// The length of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none.
    None,
    /// As many bytes.
    Known(u64),
    /// Chunked.
    Chunked,
}

/// Returns the one length a head gives its body.
///
/// <https://www.rfc-editor.org/rfc/rfc9112#section-6.3> lets Transfer-Encoding win over Content-Length; here both
/// together are refused, and so are repeated or listed lengths.
pub fn body_length(head: &RequestHead) -> Result<BodyLength, HeadError> {
    let lengths: Vec<&[u8]> = head.values("content-length").collect();
    let codings: Vec<&[u8]> = head.values("transfer-encoding").collect();
    let length = match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => BodyLength::None,
        ([length], []) => known(length)?,
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") && head.version == Version::Http11 => {
            BodyLength::Chunked
        }
        _ => return Err(HeadError::AmbiguousLength),
    };
    if head.method == "CONNECT" && !matches!(length, BodyLength::None | BodyLength::Known(0)) {
        return Err(HeadError::ConnectBody);
    }
    Ok(length)
}

fn known(value: &[u8]) -> Result<BodyLength, HeadError> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(HeadError::AmbiguousLength);
    }
    let text = std::str::from_utf8(value).map_err(|_| HeadError::AmbiguousLength)?;
    text.parse().map(BodyLength::Known).map_err(|_| HeadError::AmbiguousLength)
}

/// What the decoder makes of the bytes it has.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes of the body.
    Data(Bytes),
    /// The body is complete; what is left in the buffer belongs to the next request.
    End,
    /// More bytes are needed.
    More,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At a chunk size line.
    Size,
    /// Inside a chunk, with as many bytes left.
    Data(u64),
    /// At the CR LF behind a chunk.
    AfterData,
    /// At the CR LF behind the last chunk.
    Final,
    /// Behind the body.
    Done,
}

/// Reads one body from a buffer, a piece at a time.
#[derive(Debug)]
pub struct BodyDecoder {
    state: State,
    chunked: bool,
}

impl BodyDecoder {
    /// Returns a decoder for a body of this length.
    pub fn new(length: BodyLength) -> Self {
        let state = match length {
            BodyLength::None | BodyLength::Known(0) => State::Done,
            BodyLength::Known(length) => State::Data(length),
            BodyLength::Chunked => State::Size,
        };
        Self { state, chunked: length == BodyLength::Chunked }
    }

    /// Tells whether the body has been read to its end.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes the next piece out of `buffer`.
    ///
    /// Chunk extensions and trailers are refused: no client needs them, and parsers disagree about them.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Piece, HeadError> {
        loop {
            match self.state {
                State::Done => return Ok(Piece::End),
                State::Data(left) => return Ok(self.data(left, buffer)),
                State::Size => match size_line(buffer)? {
                    None => return Ok(Piece::More),
                    Some(0) => self.state = State::Final,
                    Some(size) => self.state = State::Data(size),
                },
                State::Final if buffer.first().is_some_and(|first| is_token_byte(*first)) => {
                    return Err(HeadError::Trailers);
                }
                State::AfterData | State::Final => {
                    if !line_end(buffer)? {
                        return Ok(Piece::More);
                    }
                    self.state = if self.state == State::Final { State::Done } else { State::Size };
                }
            }
        }
    }

    fn data(&mut self, left: u64, buffer: &mut BytesMut) -> Piece {
        if buffer.is_empty() {
            return Piece::More;
        }
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let left = left - take as u64;
        self.state = match left {
            0 if self.chunked => State::AfterData,
            0 => State::Done,
            left => State::Data(left),
        };
        Piece::Data(buffer.split_to(take).freeze())
    }
}

/// Takes a chunk size line: hexadecimal digits and CR LF, nothing else.
fn size_line(buffer: &mut BytesMut) -> Result<Option<u64>, HeadError> {
    let digits = buffer.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    if digits > MAX_SIZE_DIGITS {
        return Err(HeadError::Chunk);
    }
    let complete = match buffer[digits..] {
        [] => false,
        [b'\r'] if digits > 0 => false,
        [b'\r', b'\n', ..] if digits > 0 => true,
        _ => return Err(HeadError::Chunk),
    };
    if !complete {
        return Ok(None);
    }
    let line = buffer.split_to(digits + 2);
    let text = std::str::from_utf8(&line[..digits]).map_err(|_| HeadError::Chunk)?;
    u64::from_str_radix(text, 16).map(Some).map_err(|_| HeadError::Chunk)
}

/// Takes CR LF; false when it has not arrived whole.
fn line_end(buffer: &mut BytesMut) -> Result<bool, HeadError> {
    match buffer[..] {
        [] | [b'\r'] => Ok(false),
        [b'\r', b'\n', ..] => {
            buffer.advance(2);
            Ok(true)
        }
        _ => Err(HeadError::Chunk),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head;

    fn length(headers: &str) -> Result<BodyLength, HeadError> {
        let text = format!("POST http://a/ HTTP/1.1\r\n{headers}\r\n");
        body_length(&head::parse(text.as_bytes(), 16).unwrap())
    }

    #[test]
    fn one_length_only() {
        assert_eq!(length(""), Ok(BodyLength::None));
        assert_eq!(length("Content-Length: 7\r\n"), Ok(BodyLength::Known(7)));
        assert_eq!(length("Transfer-Encoding: Chunked\r\n"), Ok(BodyLength::Chunked));
        for headers in [
            "Content-Length: 7\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: 7\r\nContent-Length: 7\r\n",
            "Content-Length: 7\r\nContent-Length: 8\r\n",
            "Content-Length: 7, 7\r\n",
            "Content-Length: +7\r\n",
            "Content-Length: -7\r\n",
            "Content-Length: 0x7\r\n",
            "Content-Length:\r\n",
            "Content-Length: 99999999999999999999999\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked, identity\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding:\r\n",
        ] {
            assert_eq!(length(headers), Err(HeadError::AmbiguousLength), "{headers}");
        }
        let old = head::parse(b"POST http://a/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 16).unwrap();
        assert_eq!(body_length(&old), Err(HeadError::AmbiguousLength));
        let connect = head::parse(b"CONNECT a:1 HTTP/1.1\r\nContent-Length: 5\r\n\r\n", 16).unwrap();
        assert_eq!(body_length(&connect), Err(HeadError::ConnectBody));
    }

    /// Feeds the text in two parts, cut at every place, and returns body and rest.
    fn decode(text: &[u8]) -> Result<(Vec<u8>, Vec<u8>), HeadError> {
        let mut results = Vec::new();
        for cut in 0..=text.len() {
            results.push(decode_cut(text, cut));
        }
        assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{}: {results:?}", text.escape_ascii());
        results.remove(0)
    }

    fn decode_cut(text: &[u8], cut: usize) -> Result<(Vec<u8>, Vec<u8>), HeadError> {
        let mut decoder = BodyDecoder::new(BodyLength::Chunked);
        let (mut buffer, mut body, mut fed) = (BytesMut::from(&text[..cut]), Vec::new(), false);
        loop {
            match decoder.next(&mut buffer)? {
                Piece::Data(data) => body.extend_from_slice(&data),
                Piece::End => {
                    if !fed {
                        buffer.extend_from_slice(&text[cut..]);
                    }
                    return Ok((body, buffer.to_vec()));
                }
                Piece::More if fed => return Err(HeadError::TooLong),
                Piece::More => {
                    buffer.extend_from_slice(&text[cut..]);
                    fed = true;
                }
            }
        }
    }

    #[test]
    fn decodes_chunks_however_they_arrive() {
        assert_eq!(
            decode(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET"),
            Ok((b"hello world".to_vec(), b"GET".to_vec()))
        );
        assert_eq!(decode(b"0\r\n\r\n"), Ok((vec![], vec![])));
        assert_eq!(decode(b"00A\r\n0123456789\r\n0\r\n\r\n"), Ok((b"0123456789".to_vec(), vec![])));
    }

    #[test]
    fn refuses_odd_chunks() {
        for text in [
            &b"5;ext=1\r\nhello\r\n0\r\n\r\n"[..],
            b"5 \r\nhello\r\n0\r\n\r\n",
            b" 5\r\nhello\r\n0\r\n\r\n",
            b"0x5\r\nhello\r\n0\r\n\r\n",
            b"-5\r\nhello\r\n0\r\n\r\n",
            b"5\nhello\r\n0\r\n\r\n",
            b"5\r\nhelloX\r\n0\r\n\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"\r\nhello\r\n0\r\n\r\n",
            b"0\r\n\n",
            b"fffffffffffffffff\r\n",
            b"0000000000000005\r\nhello\r\n0\r\n\r\n",
        ] {
            assert_eq!(decode(text), Err(HeadError::Chunk), "{}", text.escape_ascii());
        }
        assert_eq!(decode(b"0\r\nName: x\r\n\r\n"), Err(HeadError::Trailers));
    }
}
