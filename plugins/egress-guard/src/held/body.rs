//! Placeholders in bodies, for secrets that name the one field that theirs stands in.
//!
//! A body of JSON or of a form is small, not packed and says its length, or its placeholders are text. Nothing of it changes but the
//! field's value.

use std::ops::Range;

use bytes::Bytes;
use claude_bottle_egress_policy::{Asked, Code, Place, Scheme};
use zeroize::Zeroizing;

use super::{Entry, Held, json, url};
use crate::dlp::unpack::Packing;
use crate::http::destination::Destination;
use crate::http::framing::BodyLength;
use crate::http::head::RequestHead;
use crate::serve::Denial;

/// The longest body that is looked at, in bytes.
const MOST: u64 = 64 * 1024;

/// Bodies of these types are read.
const JSON: &[u8] = b"application/json";
const FORM: &[u8] = b"application/x-www-form-urlencoded";

/// What may be put into one body, once it is whole.
pub(crate) struct BodyFill {
    fields: Vec<Field>,
}

/// A secret, and the field that it goes into.
struct Field {
    place: Place,
    name: String,
    placeholder: String,
    value: Zeroizing<String>,
    /// Whether the field takes nothing else.
    only: bool,
}

/// A body in its parts, and what was put into it.
pub(crate) struct Filled {
    /// The body as it goes.
    pub(crate) body: Bytes,
    /// The names of the secrets.
    pub(crate) names: Vec<String>,
}

impl Held {
    /// Returns what may be put into the body of a request; `None` where none of it is.
    pub(crate) fn body(
        &self,
        head: &RequestHead,
        wanted: &Destination,
        (length, packing): (BodyLength, Packing),
    ) -> Option<BodyFill> {
        let is_short = matches!(length, BodyLength::Known(length) if length <= MOST);
        if !is_short || packing != Packing::Plain {
            return None;
        }
        let asked = Asked { method: &head.method, target: &wanted.path };
        let is_own = |entry: &&Entry| {
            let is_safe = wanted.scheme == Scheme::Https || entry.told.plain_http;
            is_safe
                && entry.told.is_for(&wanted.host, wanted.port, wanted.scheme)
                && entry.told.is_put_into(asked)
        };
        let fields = |entry: &'_ Entry| {
            let fitting = entry.told.places.iter().filter(|place| is_read(head, place)).cloned();
            let field = |place| Field {
                place,
                name: entry.told.name.clone(),
                placeholder: entry.told.placeholder.clone(),
                value: entry.value.clone(),
                only: entry.told.only,
            };
            fitting.map(field).collect::<Vec<_>>()
        };
        let fields: Vec<Field> = self.entries.iter().filter(is_own).flat_map(fields).collect();
        (!fields.is_empty()).then_some(BodyFill { fields })
    }
}

/// Returns `true` if a body of this type has such a place.
fn is_read(head: &RequestHead, place: &Place) -> bool {
    let wanted = match place {
        Place::Json(_) => JSON,
        Place::Form(_) => FORM,
        _ => return false,
    };
    let mut types = head.values("content-type");
    let is_it = |value: &[u8]| {
        let name = value.split(|byte| *byte == b';').next().unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(wanted)
    };
    types.next().is_some_and(is_it) && types.next().is_none()
}

impl BodyFill {
    /// Returns the body as it goes.
    ///
    /// # Errors
    /// Refuses a field with a placeholder that is there more than once, and in one that takes a secret alone anything else.
    pub(crate) fn fill(&self, body: Bytes) -> Result<Filled, Denial> {
        let mut filled = Filled { body, names: Vec::new() };
        for field in &self.fields {
            let Ok(text) = std::str::from_utf8(&filled.body) else { return Ok(filled) };
            let Some((span, is_placeholder)) = field.find(text)? else { continue };
            if !is_placeholder && field.only {
                let reason = format!("`{}` takes no other credential than `{}`", field.place, field.name);
                return Err(Denial::new(Code::ForeignCredential, reason));
            }
            if is_placeholder {
                let next = field.put(text, &span);
                filled.body = Bytes::copy_from_slice(next.as_bytes());
                filled.names.push(field.name.clone());
            }
        }
        Ok(filled)
    }
}

impl Field {
    /// Returns where the field's value is, and whether it is the placeholder.
    fn find(&self, text: &str) -> Result<Option<(Range<usize>, bool)>, Denial> {
        let twice = || {
            let reason = format!("`{}` with a placeholder is there more than once", self.place);
            Denial::new(Code::BadRequest, reason)
        };
        match &self.place {
            Place::Json(pointer) => {
                let found = json::find(text, pointer).map_err(|json::Twice| twice())?;
                Ok(found.map(|(span, value)| (span, value == self.placeholder)))
            }
            Place::Form(name) => {
                // Read as a query is, whose beginning the mark is.
                let query = format!("?{text}");
                let mut own = url::pairs(&query).filter(|pair| *pair.key == *name.as_bytes());
                let first = own.next().map(|pair| {
                    (pair.at.start - 1..pair.at.end - 1, *pair.value == *self.placeholder.as_bytes())
                });
                let more = own.any(|pair| *pair.value == *self.placeholder.as_bytes());
                let is_several = url::pairs(&query).filter(|pair| *pair.key == *name.as_bytes()).count() > 1;
                match first {
                    Some((_, is_placeholder)) if is_several && (is_placeholder || more || self.only) => {
                        Err(twice())
                    }
                    first => Ok(first),
                }
            }
            _ => Ok(None),
        }
    }

    fn put(&self, text: &str, span: &Range<usize>) -> Zeroizing<String> {
        match self.place {
            Place::Form(_) => url::fill(text, span, &self.value),
            _ => {
                let value = Zeroizing::new(serde_json::Value::from(self.value.as_str()).to_string());
                Zeroizing::new([&text[..span.start], &value, &text[span.end..]].concat())
            }
        }
    }
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
