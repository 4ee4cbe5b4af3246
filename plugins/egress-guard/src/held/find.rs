//! Finds the places of one request in which placeholders stand, and refuses those that could only fail.

use std::ops::Range;

use claude_bottle_egress_policy::{Asked, Code, HeldSecret, Place, Scheme};

use super::credential::{AUTHORIZATION, Shown};
use super::{Entry, Held, Put, url};
use crate::http::destination::Destination;
use crate::http::head::RequestHead;
use crate::serve::Denial;

/// One request, and the secrets that are meant for its place.
struct Asking<'a> {
    held: &'a Held,
    head: &'a RequestHead,
    wanted: &'a Destination,
    own: Vec<&'a Entry>,
}

impl Held {
    /// Returns what is put into a request.
    ///
    /// # Errors
    /// Refuses a placeholder that stands alone as a credential and is not for this host, place or request, and a credential other than
    /// the bottle's where no other is wanted.
    pub(crate) fn put_into(&self, head: &RequestHead, wanted: &Destination) -> Result<Put, Denial> {
        let mut put = Put::default();
        if self.entries.is_empty() {
            return Ok(put);
        }
        let is_own = |entry: &&Entry| entry.told.is_for(&wanted.host, wanted.port, wanted.scheme);
        let asking = Asking { held: self, head, wanted, own: self.entries.iter().filter(is_own).collect() };
        asking.headers(&mut put)?;
        asking.target(&mut put)?;
        asking.add(&mut put);
        let own: Vec<&HeldSecret> = asking.own.iter().map(|entry| &entry.told).collect();
        self.refuse_foreign(head, (wanted, &own), &put)?;
        Ok(put)
    }
}

impl Asking<'_> {
    fn headers(&self, put: &mut Put) -> Result<(), Denial> {
        for (index, header) in self.head.headers.iter().enumerate() {
            let name = header.name.as_str();
            if !self.held.is_credential(name) {
                continue;
            }
            let found = self.held.placeholders().find_map(|placeholder| {
                Shown::find(name, &header.value, placeholder).map(|shown| (placeholder, shown))
            });
            let Some((placeholder, shown)) = found else { continue };
            let entry = self.entry(placeholder, &shown.place)?;
            if self.head.values(name).count() > 1 {
                let reason = format!("the header `{name}` with a placeholder is there more than once");
                return Err(Denial::new(Code::BadRequest, reason));
            }
            put.in_header(index, (&shown, &header.value), (&entry.told.name, &entry.value));
        }
        Ok(())
    }

    /// Returns the secret that goes where its placeholder stands, or why it goes nowhere.
    fn entry(&self, placeholder: &str, place: &Place) -> Result<&Entry, Denial> {
        let all = || self.held.entries.iter().filter(|entry| entry.told.placeholder == placeholder);
        let name = all().next().map_or("", |entry| entry.told.name.as_str());
        let own: Vec<&Entry> =
            self.own.iter().copied().filter(|entry| entry.told.placeholder == placeholder).collect();
        if own.is_empty() {
            let hosts = list(all().flat_map(|entry| &entry.told.hosts));
            let reason = format!("the placeholder of `{name}` is for {hosts}");
            return Err(Denial::new(Code::SecretWrongHost, reason));
        }
        let fitting: Vec<&Entry> =
            own.iter().copied().filter(|entry| entry.told.places.contains(place)).collect();
        if fitting.is_empty() {
            let places = list(own.iter().flat_map(|entry| &entry.told.places));
            let reason =
                format!("towards `{}` the placeholder of `{name}` stands in {places}", self.wanted.host);
            return Err(Denial::new(Code::SecretWrongPlace, reason));
        }
        let safe: Vec<&Entry> = fitting.into_iter().filter(|entry| self.is_safe(entry)).collect();
        if safe.is_empty() {
            let reason = format!("`{name}` is not sent without TLS");
            return Err(Denial::new(Code::SecretNeedsTls, reason));
        }
        safe.into_iter().find(|entry| entry.told.is_put_into(self.asked())).ok_or_else(|| {
            Denial::new(Code::SecretWrongRequest, format!("`{name}` is not for this method and path"))
        })
    }

    fn is_safe(&self, entry: &Entry) -> bool {
        self.wanted.scheme == Scheme::Https || entry.told.plain_http
    }

    fn asked(&self) -> Asked<'_> {
        Asked { method: &self.head.method, target: &self.wanted.path }
    }

    /// Looks into the URL, in which a placeholder is text unless a place says otherwise.
    fn target(&self, put: &mut Put) -> Result<(), Denial> {
        let mut found: Vec<(Range<usize>, &Entry)> = Vec::new();
        for entry in &self.own {
            for place in &entry.told.places {
                let spans = self.spans(place, &entry.told.placeholder)?;
                if !spans.is_empty() {
                    let entry = self.entry(&entry.told.placeholder, place)?;
                    found.extend(spans.into_iter().map(|span| (span, entry)));
                }
            }
        }
        found.sort_by_key(|(span, _)| span.start);
        found.dedup_by_key(|(span, _)| span.start);
        match found.as_slice() {
            [] => Ok(()),
            [(span, entry)] => {
                put.in_target(url::fill(&self.wanted.path, span, &entry.value), &entry.told.name);
                Ok(())
            }
            _ => Err(Denial::new(Code::BadRequest, "the URL has placeholders in more than one place")),
        }
    }

    /// Returns where a placeholder is the whole of one place in the URL.
    fn spans(&self, place: &Place, placeholder: &str) -> Result<Vec<Range<usize>>, Denial> {
        let target = &self.wanted.path;
        match place {
            Place::Query(name) => {
                let of_key: Vec<_> =
                    url::pairs(target).filter(|pair| *pair.key == *name.as_bytes()).collect();
                let is_there = of_key.iter().any(|pair| *pair.value == *placeholder.as_bytes());
                if is_there && of_key.len() > 1 {
                    let reason = format!("the key `{name}` with a placeholder is there more than once");
                    return Err(Denial::new(Code::BadRequest, reason));
                }
                Ok(of_key.into_iter().filter(|_| is_there).map(|pair| pair.at).collect())
            }
            Place::Path(before, behind) => {
                Ok(url::in_path(target, (before, behind), placeholder).into_iter().collect())
            }
            Place::Bearer | Place::Basic | Place::Header(_) | Place::Json(_) | Place::Form(_) => {
                Ok(Vec::new())
            }
        }
    }

    /// Puts in what is always put in, when the request has no credential at all.
    fn add(&self, put: &mut Put) {
        let sent = self.head.headers.iter().any(|header| self.held.is_credential(&header.name));
        if sent || !put.names().is_empty() {
            return;
        }
        let is_always = |entry: &&&Entry| {
            entry.told.always && self.is_safe(entry) && entry.told.is_put_into(self.asked())
        };
        let Some(entry) = self.own.iter().find(is_always) else { return };
        match entry.told.places.first() {
            Some(Place::Bearer) => {
                let value = zeroize::Zeroizing::new(format!("Bearer {}", *entry.value));
                put.add(AUTHORIZATION, value.as_bytes(), &entry.told.name);
            }
            Some(Place::Header(header)) => put.add(header, entry.value.as_bytes(), &entry.told.name),
            _ => {}
        }
    }
}

/// Returns things in backticks, with commas between them, each once.
fn list<T: ToString>(things: impl Iterator<Item = T>) -> String {
    let mut texts: Vec<String> = things.map(|thing| format!("`{}`", thing.to_string())).collect();
    texts.sort();
    texts.dedup();
    texts.join(", ")
}

#[cfg(test)]
#[path = "find_tests.rs"]
mod tests;
