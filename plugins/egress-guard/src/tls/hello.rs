//! Reads the server name out of a TLS ClientHello, however it is split over records.
//!
//! Formats: <https://www.rfc-editor.org/rfc/rfc8446#section-5.1> (records), section 4.1.2 (ClientHello),
//! <https://www.rfc-editor.org/rfc/rfc6066#section-3> (server_name). What does not fit exactly is refused.

/// Bytes of a hello with its record headers. Real ones have 200 to 2,500; key shares of large post-quantum
/// algorithms and tickets fit as well.
pub const MAX_HELLO: usize = 32 * 1024;

/// Longest plaintext of a record, section 5.1.
const MAX_RECORD: usize = 1 << 14;
const RECORD_HANDSHAKE: u8 = 22;
const MESSAGE_CLIENT_HELLO: u8 = 1;
const EXTENSION_SERVER_NAME: u16 = 0;
/// `encrypted_client_hello`, <https://www.iana.org/assignments/tls-extensiontype-values>.
const EXTENSION_ECH: u16 = 0xfe0d;
const NAME_TYPE_HOST: u8 = 0;

/// What a ClientHello says about its destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The server name, as sent.
    pub server_name: Option<String>,
    /// Whether an encrypted inner hello (or filler that looks like one) is there.
    pub encrypted: bool,
}

/// Why bytes are no ClientHello.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HelloError {
    /// The first bytes are not a TLS handshake record.
    #[error("the tunnel does not begin with a TLS handshake")]
    NotTls,
    /// The lengths or fields do not fit.
    #[error("the TLS ClientHello is malformed")]
    Malformed,
    /// More bytes than any real hello.
    #[error("the TLS ClientHello is too long")]
    TooLong,
}

/// Reads the hello at the front of a tunnel; nothing when more bytes are needed.
pub fn parse(bytes: &[u8]) -> Result<Option<Hello>, HelloError> {
    match message(bytes)? {
        Some(body) => client_hello(&body).map(Some),
        None if bytes.len() >= MAX_HELLO => Err(HelloError::TooLong),
        None => Ok(None),
    }
}

/// Joins the handshake records until the first message is whole, and returns its body.
fn message(bytes: &[u8]) -> Result<Option<Vec<u8>>, HelloError> {
    let mut joined = Vec::new();
    let mut rest = bytes;
    loop {
        // Judge as early as possible: a client that speaks something else gets no further byte through.
        if rest.first().is_some_and(|b| *b != RECORD_HANDSHAKE) || rest.get(1).is_some_and(|b| *b != 3) {
            return Err(if joined.is_empty() { HelloError::NotTls } else { HelloError::Malformed });
        }
        let [_, _, _, high, low, payload @ ..] = rest else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if length == 0 || length > MAX_RECORD {
            return Err(HelloError::Malformed);
        }
        let available = length.min(payload.len());
        joined.extend_from_slice(&payload[..available]);
        if let Some(whole) = whole_message(&joined)? {
            // Nothing may follow the hello in its last record.
            return if available == length { Ok(Some(whole)) } else { Err(HelloError::Malformed) };
        }
        if available < length {
            return Ok(None);
        }
        rest = &payload[length..];
    }
}

fn whole_message(joined: &[u8]) -> Result<Option<Vec<u8>>, HelloError> {
    if joined.first().is_some_and(|kind| *kind != MESSAGE_CLIENT_HELLO) {
        return Err(HelloError::Malformed);
    }
    let [_, a, b, c, body @ ..] = joined else { return Ok(None) };
    let length = usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).map_err(|_| HelloError::TooLong)?;
    if length > MAX_HELLO {
        return Err(HelloError::TooLong);
    }
    match body.len().cmp(&length) {
        std::cmp::Ordering::Less => Ok(None),
        std::cmp::Ordering::Equal => Ok(Some(body.to_vec())),
        std::cmp::Ordering::Greater => Err(HelloError::Malformed),
    }
}

fn client_hello(body: &[u8]) -> Result<Hello, HelloError> {
    let mut reader = Reader(body);
    reader.take(2 + 32)?;
    if reader.vector8()?.len() > 32 {
        return Err(HelloError::Malformed);
    }
    let suites = reader.vector16()?;
    if suites.len() < 2 || !suites.len().is_multiple_of(2) || reader.vector8()?.is_empty() {
        return Err(HelloError::Malformed);
    }
    let mut hello = Hello { server_name: None, encrypted: false };
    if reader.0.is_empty() {
        return Ok(hello);
    }
    let mut extensions = Reader(reader.vector16()?);
    reader.end()?;
    let mut seen = Vec::new();
    while !extensions.0.is_empty() {
        let kind = extensions.number16()?;
        let data = extensions.vector16()?;
        if seen.contains(&kind) {
            return Err(HelloError::Malformed);
        }
        seen.push(kind);
        match kind {
            EXTENSION_SERVER_NAME => hello.server_name = Some(server_name(data)?),
            EXTENSION_ECH => hello.encrypted = true,
            _ => {}
        }
    }
    Ok(hello)
}

/// A list of exactly one host name; more than one per type is forbidden and no other type exists.
fn server_name(data: &[u8]) -> Result<String, HelloError> {
    let mut reader = Reader(data);
    let mut list = Reader(reader.vector16()?);
    reader.end()?;
    if list.number8()? != NAME_TYPE_HOST {
        return Err(HelloError::Malformed);
    }
    let name = list.vector16()?;
    list.end()?;
    let printable = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    let text = std::str::from_utf8(name).ok().filter(|_| printable);
    text.map(str::to_owned).ok_or(HelloError::Malformed)
}

/// Reads numbers and vectors with their length in front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], HelloError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(HelloError::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number8(&mut self) -> Result<u8, HelloError> {
        Ok(self.take(1)?[0])
    }

    fn number16(&mut self) -> Result<u16, HelloError> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn vector8(&mut self) -> Result<&'a [u8], HelloError> {
        let length = self.number8()?;
        self.take(usize::from(length))
    }

    fn vector16(&mut self) -> Result<&'a [u8], HelloError> {
        let length = self.number16()?;
        self.take(usize::from(length))
    }

    fn end(&self) -> Result<(), HelloError> {
        if self.0.is_empty() { Ok(()) } else { Err(HelloError::Malformed) }
    }
}

#[cfg(test)]
#[path = "hello_tests.rs"]
mod tests;
