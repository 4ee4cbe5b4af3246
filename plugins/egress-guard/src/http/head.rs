//! Request heads: found in the stream and parsed with no leniency at all.
//!
//! Refused: bare CR or LF, NUL and other control characters, folded lines, space before a colon, anything but single
//! spaces in the request line, versions other than HTTP/1.0 and 1.1, too many lines.
//! <https://www.rfc-editor.org/rfc/rfc9112#section-2.2> allows leniency in several of these places; two parsers that
//! differ in it are how requests are smuggled.

use claude_bottle_egress_policy::Code;

/// Longest method taken that is not registered; of the registered ones without a hyphen the longest has 17 letters
/// (<https://www.iana.org/assignments/http-methods>). More would be a way out that no rule is about.
pub(crate) const MAX_METHOD: usize = 20;

/// Registered methods, and that of UPnP discovery, which are not of letters alone.
const HYPHENATED: &[&[u8]] = &[b"BASELINE-CONTROL", b"VERSION-CONTROL", b"M-SEARCH"];

/// Version of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2, whose heads another parser reads.
    Http2,
}

/// One header line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The name in lower case.
    pub name: String,
    /// The value without surrounding blanks.
    pub value: Vec<u8>,
}

/// A request head that has one reading only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHead {
    /// The method, as sent.
    pub method: String,
    /// The request target, as sent: visible ASCII.
    pub target: String,
    /// The version.
    pub version: Version,
    /// The headers in their order.
    pub headers: Vec<Header>,
}

impl RequestHead {
    /// Returns the values of all headers of this lower-case name.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |header| header.name == name).map(|header| header.value.as_slice())
    }

    /// Tells whether a comma-separated header has this lower-case token.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.values(name)
            .flat_map(|value| value.split(|b| *b == b','))
            .any(|part| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    }

    /// Tells whether the client keeps the connection open after this request.
    pub fn keeps_alive(&self) -> bool {
        self.version == Version::Http11
            && !self.has_token("connection", "close")
            && !self.has_token("proxy-connection", "close")
    }
}

/// Why a head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadError {
    /// A line feed without a carriage return in front.
    #[error("a line of the request head does not end in CR LF")]
    BareLineFeed,
    /// A control character.
    #[error("the request head has a control character")]
    ControlCharacter,
    /// The request line is not `METHOD SP target SP HTTP/1.x`.
    #[error("the request line is not `METHOD target HTTP/1.1` with single spaces")]
    RequestLine,
    /// The method is neither a known one nor a plain word.
    #[error("the method is neither a registered one nor a word of at most 20 letters")]
    Method,
    /// The target has characters no target has.
    #[error("the request target has characters that must be percent-encoded")]
    Target,
    /// Not HTTP/1.0 or HTTP/1.1.
    #[error("the protocol version is neither HTTP/1.1 nor HTTP/1.0")]
    Version,
    /// A header line that is not `name: value`.
    #[error("a header line is not `name: value`")]
    HeaderLine,
    /// A header line that continues the one before.
    #[error("a header line is folded")]
    Folded,
    /// More header lines than the limit.
    #[error("the request head has too many lines")]
    TooManyHeaders,
    /// More bytes than the limit.
    #[error("the request head is too long")]
    TooLong,
    /// Both Content-Length and Transfer-Encoding, or one of them twice or malformed.
    #[error("the length of the request body is ambiguous")]
    AmbiguousLength,
    /// CONNECT with a body.
    #[error("a CONNECT request has no body")]
    ConnectBody,
    /// A chunk of the body that is not plain.
    #[error("the chunked body is malformed")]
    Chunk,
    /// The body ends in trailers.
    #[error("the chunked body ends in trailers")]
    Trailers,
    /// A header that names another header's removal in a way that changes the message.
    #[error("the Connection header names a header that cannot be dropped")]
    Connection,
}

impl HeadError {
    /// Returns the stable code.
    pub fn code(self) -> Code {
        match self {
            Self::TooManyHeaders | Self::TooLong => Code::TooLarge,
            Self::Trailers => Code::TrailersRefused,
            _ => Code::BadRequest,
        }
    }
}

/// Looks for the end of the head, of which the first `seen` bytes have been looked at before.
///
/// Returns the length of the head including its empty line. A fault that no further byte can mend is reported at once.
pub fn find_end(bytes: &[u8], seen: usize) -> Result<Option<usize>, HeadError> {
    if bytes.first().is_some_and(|first| !is_token_byte(*first)) {
        return Err(HeadError::RequestLine);
    }
    for index in seen..bytes.len() {
        if bytes[index] != b'\n' {
            continue;
        }
        if index == 0 || bytes[index - 1] != b'\r' {
            return Err(HeadError::BareLineFeed);
        }
        if index >= 3 && bytes[index - 3..index - 1] == *b"\r\n" {
            return Ok(Some(index + 1));
        }
    }
    Ok(None)
}

/// Parses a whole head, empty line included.
pub fn parse(bytes: &[u8], max_headers: usize) -> Result<RequestHead, HeadError> {
    let text = bytes.strip_suffix(b"\r\n\r\n").ok_or(HeadError::BareLineFeed)?;
    let mut lines = split_lines(text)?.into_iter();
    let (method, target, version) = request_line(lines.next().unwrap_or_default())?;
    if lines.len() > max_headers {
        return Err(HeadError::TooManyHeaders);
    }
    let headers = lines.map(header_line).collect::<Result<_, _>>()?;
    Ok(RequestHead { method, target, version, headers })
}

/// Splits at CR LF and refuses every other control character but the tab.
fn split_lines(text: &[u8]) -> Result<Vec<&[u8]>, HeadError> {
    let mut lines: Vec<&[u8]> = text.split(|b| *b == b'\n').collect();
    let last = lines.len() - 1;
    for (index, line) in lines.iter_mut().enumerate() {
        if index != last {
            *line = line.strip_suffix(b"\r").ok_or(HeadError::BareLineFeed)?;
        }
        if line.iter().any(|b| b.is_ascii_control() && *b != b'\t') {
            return Err(HeadError::ControlCharacter);
        }
    }
    Ok(lines)
}

fn request_line(line: &[u8]) -> Result<(String, String, Version), HeadError> {
    let mut parts = line.split(|b| *b == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(HeadError::RequestLine);
    };
    if !is_method(method) {
        return Err(HeadError::Method);
    }
    if target.is_empty() || !target.iter().all(u8::is_ascii_graphic) {
        return Err(HeadError::Target);
    }
    let version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        _ => return Err(HeadError::Version),
    };
    Ok((ascii(method), ascii(target), version))
}

/// Returns `true` if a word is a method that is taken.
pub(crate) fn is_method(method: &[u8]) -> bool {
    let is_word = (1..=MAX_METHOD).contains(&method.len()) && method.iter().all(u8::is_ascii_alphabetic);
    is_word || HYPHENATED.contains(&method)
}

fn header_line(line: &[u8]) -> Result<Header, HeadError> {
    if line.first().is_some_and(|b| matches!(b, b' ' | b'\t')) {
        return Err(HeadError::Folded);
    }
    let colon = line.iter().position(|b| *b == b':').ok_or(HeadError::HeaderLine)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.is_empty() || !name.iter().all(|b| is_token_byte(*b)) {
        return Err(HeadError::HeaderLine);
    }
    Ok(Header { name: ascii(name).to_ascii_lowercase(), value: value.trim_ascii().to_vec() })
}

/// The `tchar` of <https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2>.
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The bytes have been checked to be ASCII, so nothing is replaced.
fn ascii(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &[u8]) -> Result<RequestHead, HeadError> {
        match find_end(text, 0)? {
            Some(end) => parse(&text[..end], 16),
            None => panic!("{:?} has no end", text.escape_ascii().to_string()),
        }
    }

    fn refused(text: &[u8], expected: HeadError) {
        assert_eq!(head(text), Err(expected), "{}", text.escape_ascii());
    }

    #[test]
    fn reads_a_plain_head() {
        let head = head(
            b"CONNECT a.example:443 HTTP/1.1\r\nHost:  a.example:443\t\r\nX-A: \xc3\xa4\r\nx-b:\r\n\r\n",
        )
        .unwrap();
        assert_eq!(
            (head.method.as_str(), head.target.as_str(), head.version),
            ("CONNECT", "a.example:443", Version::Http11)
        );
        assert_eq!(head.values("host").collect::<Vec<_>>(), [b"a.example:443"]);
        assert_eq!(head.values("x-a").collect::<Vec<_>>(), [b"\xc3\xa4"]);
        assert_eq!(head.values("x-b").collect::<Vec<_>>(), [b""]);
        assert!(head.keeps_alive());
    }

    #[test]
    fn refuses_other_line_ends() {
        refused(b"GET http://a/ HTTP/1.1\n\n", HeadError::BareLineFeed);
        refused(b"GET http://a/ HTTP/1.1\r\nA: b\nC: d\r\n\r\n", HeadError::BareLineFeed);
        refused(b"GET http://a/ HTTP/1.1\r\nA: b\rC: d\r\n\r\n", HeadError::ControlCharacter);
        refused(b"GET http://a/ HTTP/1.1\r\r\nA: b\r\n\r\n", HeadError::ControlCharacter);
        refused(b"\r\nGET http://a/ HTTP/1.1\r\n\r\n", HeadError::RequestLine);
    }

    #[test]
    fn refuses_control_characters() {
        refused(b"GET http://a\0b/ HTTP/1.1\r\n\r\n", HeadError::ControlCharacter);
        refused(b"GET http://a/ HTTP/1.1\r\nA: b\0c\r\n\r\n", HeadError::ControlCharacter);
        refused(b"GET http://a/ HTTP/1.1\r\nA: b\x7fc\r\n\r\n", HeadError::ControlCharacter);
        refused(b"GET\thttp://a/\tHTTP/1.1\r\n\r\n", HeadError::RequestLine);
    }

    #[test]
    fn refuses_odd_request_lines() {
        refused(b"GET  http://a/ HTTP/1.1\r\n\r\n", HeadError::RequestLine);
        refused(b"GET http://a/ b HTTP/1.1\r\n\r\n", HeadError::RequestLine);
        refused(b"GET http://a/\r\n\r\n", HeadError::RequestLine);
        refused(b"GET http://a/ HTTP/1.1 \r\n\r\n", HeadError::RequestLine);
        refused(b"G(T http://a/ HTTP/1.1\r\n\r\n", HeadError::Method);
        for method in
            ["GET2", "get-it", "A_B", "GET.", "ABCDEFGHIJKLMNOPQRSTU", "s3cr3tValue0123456789", "M-SEARCHX"]
        {
            refused(format!("{method} http://a/ HTTP/1.1\r\n\r\n").as_bytes(), HeadError::Method);
        }
        refused(b"GET http://\xc3\xa4/ HTTP/1.1\r\n\r\n", HeadError::Target);
        for version in ["HTTP/2.0", "HTTP/1.2", "http/1.1", "HTTP/1.10", "HTTP/0.9", "HTTPS/1.1"] {
            refused(format!("GET http://a/ {version}\r\n\r\n").as_bytes(), HeadError::Version);
        }
        assert_eq!(find_end(b"\x16\x03\x01", 0), Err(HeadError::RequestLine));
    }

    #[test]
    fn takes_every_registered_method() {
        // <https://www.iana.org/assignments/http-methods>, and one that is not registered.
        let methods = "ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT CONNECT COPY DELETE GET HEAD LABEL LINK LOCK MERGE \
            MKACTIVITY MKCALENDAR MKCOL MKREDIRECTREF MKWORKSPACE MOVE OPTIONS ORDERPATCH PATCH POST PRI PROPFIND \
            PROPPATCH PUT REBIND REPORT SEARCH TRACE UNBIND UNCHECKOUT UNLINK UNLOCK UPDATE UPDATEREDIRECTREF \
            VERSION-CONTROL M-SEARCH ABCDEFGHIJKLMNOPQRST purge";
        for method in methods.split_ascii_whitespace() {
            let head = head(format!("{method} http://a/ HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
            assert_eq!(head.method, method);
        }
    }

    #[test]
    fn refuses_odd_headers() {
        refused(b"GET http://a/ HTTP/1.1\r\nA: b\r\n c\r\n\r\n", HeadError::Folded);
        refused(b"GET http://a/ HTTP/1.1\r\n A: b\r\n\r\n", HeadError::Folded);
        refused(b"GET http://a/ HTTP/1.1\r\nA : b\r\n\r\n", HeadError::HeaderLine);
        refused(b"GET http://a/ HTTP/1.1\r\nA\r\n\r\n", HeadError::HeaderLine);
        refused(b"GET http://a/ HTTP/1.1\r\n: b\r\n\r\n", HeadError::HeaderLine);
        refused(b"GET http://a/ HTTP/1.1\r\nA\xc3: b\r\n\r\n", HeadError::HeaderLine);
        let many = format!("GET http://a/ HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(17));
        refused(many.as_bytes(), HeadError::TooManyHeaders);
    }

    #[test]
    fn finds_the_end_wherever_the_reads_break() {
        let text = b"GET http://a/ HTTP/1.1\r\nA: b\r\n\r\nrest";
        for cut in 0..text.len() {
            let first = find_end(&text[..cut], 0).unwrap();
            let end = match first {
                Some(end) => end,
                None => find_end(text, cut).unwrap().unwrap(),
            };
            assert_eq!(&text[end..], b"rest", "cut at {cut}");
        }
    }
}
