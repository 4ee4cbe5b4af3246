//! Where in a request a credential stands.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What stands for the credential in the pattern of a path.
const HERE: &str = "{}";

/// How deep a pointer into JSON may go.
const MOST_TOKENS: usize = 32;

/// Headers that say where a request goes, how long it is or what it is, and cookies, which are a host's own notes.
const NOT_FOR_CREDENTIALS: &[&str] = &[
    "host",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// A place for a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// `Authorization` with the scheme `Bearer` or `token`.
    Bearer,
    /// `Authorization` with the scheme `Basic`, as the user or as the password.
    Basic,
    /// The whole value of this header, in lower case.
    Header(String),
    /// The value of this key of the query.
    Query(String),
    /// What stands between these two parts of the path.
    Path(String, String),
    /// The text at this pointer of a body in JSON: <https://www.rfc-editor.org/rfc/rfc6901>.
    Json(String),
    /// The value of this field of a body that is a form.
    Form(String),
}

/// Why a text is not a place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// None of the words.
    #[error(
        "`{text}` is not a place: use `bearer`, `basic`, `header: NAME`, `query: NAME`, `path: /bot{{}}/`, `json: /pointer` or `form: NAME`"
    )]
    Word {
        /// The text, with unprintable characters escaped.
        text: String,
    },
    /// A header that cannot carry a credential.
    #[error("`{name}` is not a header for a credential")]
    Header {
        /// The name.
        name: String,
    },
    /// A query key with characters that would need an escape.
    #[error("`{name}` is not a plain name of a key: use letters, digits, `-`, `_`, `.` and `~`")]
    Query {
        /// The name.
        name: String,
    },
    /// A pointer into JSON that does not point at a part of it.
    #[error(
        "`{pointer}` is not a pointer into JSON: write it as `/auth/token`, with `~0` for `~` and `~1` for `/`"
    )]
    Json {
        /// The pointer.
        pointer: String,
    },
    /// A path without the credential's place, or with two.
    #[error("`{path}` has not exactly one `{{}}`, behind a `/` and in front of `/` or the end")]
    Path {
        /// The path.
        path: String,
    },
}

impl Place {
    /// Returns the header that the place is in, in lower case; `None` when it is in the URL or the body.
    pub fn header(&self) -> Option<&str> {
        match self {
            Self::Bearer | Self::Basic => Some("authorization"),
            Self::Header(name) => Some(name),
            Self::Query(_) | Self::Path(..) | Self::Json(_) | Self::Form(_) => None,
        }
    }

    /// Returns `true` if the place is in a body.
    pub fn is_in_body(&self) -> bool {
        matches!(self, Self::Json(_) | Self::Form(_))
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let word = || PlaceError::Word { text: text.escape_default().to_string() };
        match text {
            "bearer" | "token" => return Ok(Self::Bearer),
            "basic" => return Ok(Self::Basic),
            _ => {}
        }
        let (kind, rest) = text.split_once(':').ok_or_else(word)?;
        match (kind, rest.trim_matches([' ', '\t'])) {
            ("header", name) => header(name),
            ("query", name) => query(name).map(Self::Query),
            ("form", name) => query(name).map(Self::Form),
            ("json", pointer) => json(pointer),
            ("path", path) => pattern(path),
            _ => Err(word()),
        }
    }
}

fn header(name: &str) -> Result<Place, PlaceError> {
    let lower = name.to_ascii_lowercase();
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if lower.is_empty() || !lower.bytes().all(is_token) || NOT_FOR_CREDENTIALS.contains(&lower.as_str()) {
        return Err(PlaceError::Header { name: name.escape_default().to_string() });
    }
    Ok(Place::Header(lower))
}

fn query(name: &str) -> Result<String, PlaceError> {
    if name.is_empty() || !name.bytes().all(is_unreserved) {
        return Err(PlaceError::Query { name: name.escape_default().to_string() });
    }
    Ok(name.to_owned())
}

fn json(pointer: &str) -> Result<Place, PlaceError> {
    let is_token = |token: &str| {
        let mut rest = token.split('~').skip(1);
        rest.all(|escape| escape.starts_with(['0', '1'])) && !token.chars().any(char::is_control)
    };
    let tokens = pointer.strip_prefix('/').map(|rest| rest.split('/'));
    let fits = tokens.is_some_and(|mut tokens| tokens.clone().count() <= MOST_TOKENS && tokens.all(is_token));
    if !fits {
        return Err(PlaceError::Json { pointer: pointer.escape_default().to_string() });
    }
    Ok(Place::Json(pointer.to_owned()))
}

fn pattern(path: &str) -> Result<Place, PlaceError> {
    let wrong = || PlaceError::Path { path: path.escape_default().to_string() };
    let (before, behind) = path.split_once(HERE).ok_or_else(wrong)?;
    let is_plain = |text: &str| text.bytes().all(|byte| byte == b'/' || is_unreserved(byte));
    let fits = before.starts_with('/') && (behind.is_empty() || behind.starts_with('/'));
    if !fits || !is_plain(before) || !is_plain(behind) {
        return Err(wrong());
    }
    Ok(Place::Path(before.to_owned(), behind.to_owned()))
}

/// Returns `true` if a byte is never escaped in a URL: <https://www.rfc-editor.org/rfc/rfc3986#section-2.3>.
pub(crate) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)
}

/// Writes the text that is read as this place.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bearer => f.write_str("bearer"),
            Self::Basic => f.write_str("basic"),
            Self::Header(name) => write!(f, "header: {name}"),
            Self::Query(name) => write!(f, "query: {name}"),
            Self::Json(pointer) => write!(f, "json: {pointer}"),
            Self::Form(name) => write!(f, "form: {name}"),
            Self::Path(before, behind) => write!(f, "path: {before}{HERE}{behind}"),
        }
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_written() {
        let check = |text: &str, expected: Place| {
            let place: Place = text.parse().unwrap();
            assert_eq!(place, expected, "{text}");
            assert_eq!(place.to_string().parse::<Place>().unwrap(), place);
        };
        check("bearer", Place::Bearer);
        check("token", Place::Bearer);
        check("basic", Place::Basic);
        check("header: X-Api-Key", Place::Header("x-api-key".to_owned()));
        check("header:Authorization", Place::Header("authorization".to_owned()));
        check("query: key", Place::Query("key".to_owned()));
        check("path: /bot{}/", Place::Path("/bot".to_owned(), "/".to_owned()));
        check("json: /auth/0/a~1b", Place::Json("/auth/0/a~1b".to_owned()));
        check("form: client_secret", Place::Form("client_secret".to_owned()));
        check("path: /hooks/{}", Place::Path("/hooks/".to_owned(), String::new()));
    }

    #[test]
    fn what_is_not_a_place_is_told() {
        for text in ["", "Bearer", "cookie", "body", "header", "query", "json", "header X-Key", "b\narer"] {
            assert!(matches!(text.parse::<Place>(), Err(PlaceError::Word { .. })), "{text}");
        }
        for name in ["", "Host", "cookie", "Content-Length", "transfer-encoding", "X Key", "X:Key", "ä"] {
            let place = format!("header: {name}").parse::<Place>();
            assert!(matches!(place, Err(PlaceError::Header { .. })), "{name}");
        }
        for name in ["", "a b", "a=b", "a&b", "a%41", "a[]"] {
            let place = format!("query: {name}").parse::<Place>();
            assert!(matches!(place, Err(PlaceError::Query { .. })), "{name}");
        }
        for pointer in ["", "a", "a/b", "/a~", "/a~2", "/a\nb", &"/a".repeat(33)] {
            let place = format!("json: {pointer}").parse::<Place>();
            assert!(matches!(place, Err(PlaceError::Json { .. })), "{pointer:?}");
        }
        for path in ["", "/bot", "bot{}", "/{}{}", "/a{}b", "/a?{}", "/%41{}", "/a b{}/"] {
            let place = format!("path: {path}").parse::<Place>();
            assert!(matches!(place, Err(PlaceError::Path { .. })), "{path}");
        }
    }
}
