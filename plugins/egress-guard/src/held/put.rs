//! What is put into one request.

use hyper::header::{HeaderName, HeaderValue};
use zeroize::Zeroizing;

use super::credential::Shown;

/// What becomes of a request: everything else of it goes as it came.
#[derive(Default)]
pub(crate) struct Put {
    /// Values in place of those of these headers, by their number.
    headers: Vec<(usize, HeaderValue)>,
    /// A header that the client did not send.
    added: Option<(HeaderName, HeaderValue)>,
    /// The target in place of the one that was sent.
    target: Option<Zeroizing<String>>,
    names: Vec<String>,
}

impl Put {
    /// Returns the value that a header goes with, when it is not the one that was sent.
    pub(crate) fn header(&self, index: usize) -> Option<&HeaderValue> {
        self.headers.iter().find(|(own, _)| *own == index).map(|(_, value)| value)
    }

    /// Returns the header that is added.
    pub(crate) fn added(&self) -> Option<&(HeaderName, HeaderValue)> {
        self.added.as_ref()
    }

    /// Returns the target that the request goes with, when it is not the one that was sent.
    pub(crate) fn target(&self) -> Option<&str> {
        self.target.as_ref().map(|target| target.as_str())
    }

    /// Returns the names of the secrets that are put in.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    pub(super) fn in_header(
        &mut self,
        index: usize,
        (shown, sent): (&Shown, &[u8]),
        (name, secret): (&str, &str),
    ) {
        if let Some(value) = sensitive(&shown.fill(sent, secret)) {
            self.headers.push((index, value));
            self.note(name);
        }
    }

    pub(super) fn in_target(&mut self, target: Zeroizing<String>, name: &str) {
        self.target = Some(target);
        self.note(name);
    }

    pub(super) fn add(&mut self, header: &str, value: &[u8], name: &str) {
        let header = HeaderName::from_bytes(header.as_bytes()).ok();
        self.added = header.zip(sensitive(value));
        self.note(name);
    }

    fn note(&mut self, name: &str) {
        if !self.names.iter().any(|noted| noted == name) {
            self.names.push(name.to_owned());
        }
    }
}

/// A value that no table of header compression keeps, and nothing prints.
fn sensitive(value: &[u8]) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_bytes(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}
