//! The look at one request's body, whatever carries it: masked towards a model, inspected, and no larger than allowed.

use bytes::Bytes;
use claude_bottle_egress_policy::{Code, HostOrIp};

use super::admit::Denial;
use super::request::Request;
use crate::dlp::body::BodyScan;
use crate::dlp::mask::Masking;
use crate::dlp::unpack::{self, Packing, PackingError};
use crate::dlp::{Finding, What};
use crate::http::framing::BodyLength;
use crate::http::head::RequestHead;

/// Media type of a body that is the fields of a form.
const FORM: &[u8] = b"application/x-www-form-urlencoded";

/// Looks at a body as it comes.
pub(super) struct RequestLook<'a> {
    request: &'a Request,
    scan: BodyScan<'a>,
    /// Overwrites secrets on their way to a model, before the scan; none in a packed body, in which they are refused.
    mask: Option<Masking<'a>>,
    total: u64,
}

impl<'a> RequestLook<'a> {
    /// Returns the look at the body of this request.
    pub(super) fn new(
        head: &RequestHead,
        request: &'a Request,
        (host, packing): (&'a HostOrIp, Packing),
    ) -> Self {
        let inspector = &request.snapshot.inspector;
        let scan = BodyScan::new(inspector, host, packing);
        let is_form =
            |value: &[u8]| value.get(..FORM.len()).is_some_and(|name| name.eq_ignore_ascii_case(FORM));
        let scan = if head.values("content-type").any(is_form) { scan.of_form() } else { scan };
        let mask = inspector.mask(host).filter(|_| packing == Packing::Plain).map(Masking::new);
        Self { request, scan, mask, total: 0 }
    }

    /// Takes the next bytes, and gives back those that may go.
    pub(super) fn push(&mut self, data: Bytes) -> Result<Bytes, Denial> {
        self.total += data.len() as u64;
        check_size(BodyLength::Known(self.total), self.request.snapshot.config.limits.max_body_bytes)?;
        let data = match &mut self.mask {
            Some(mask) => mask.push(data),
            None => data,
        };
        self.scanned(&data)
    }

    /// Returns `true` if there is something that [`pause`](Self::pause) would look at.
    pub(super) fn holds_back(&self) -> bool {
        self.mask.as_ref().is_some_and(|mask| mask.waiting() > 0) || self.scan.holds_back()
    }

    /// Gives back what is held because the next bytes might say more, when none come for a while.
    pub(super) fn pause(&mut self) -> Result<Bytes, Denial> {
        let rest = self.mask.as_mut().map(Masking::pause).unwrap_or_default();
        let clean = self.scanned(&rest)?;
        let held = self.scan.pause();
        self.check()?;
        Ok(joined(clean, held))
    }

    /// Gives back what was held, at the end.
    pub(super) fn finish(&mut self) -> Result<Bytes, Denial> {
        let rest = self.mask.as_mut().map(Masking::finish).unwrap_or_default();
        let clean = self.scanned(&rest)?;
        let held = self.scan.finish().map_err(unreadable)?;
        self.check()?;
        Ok(joined(clean, held))
    }

    fn scanned(&mut self, data: &[u8]) -> Result<Bytes, Denial> {
        let clean = self.scan.push(data).map_err(unreadable)?;
        self.check()?;
        Ok(clean)
    }

    /// Ends the request when something was found that may not go.
    fn check(&self) -> Result<(), Denial> {
        if let Some(name) = self.mask.as_ref().and_then(Masking::found) {
            let masked = Finding { what: What::Masked(name.to_owned()), place: "body" };
            self.request.warning.get_or_init(|| masked);
        }
        self.request.note(self.scan.findings().clone())
    }
}

fn joined(first: Bytes, second: Bytes) -> Bytes {
    match (first.is_empty(), second.is_empty()) {
        (true, _) => second,
        (_, true) => first,
        _ => [first, second].concat().into(),
    }
}

/// Refuses a body that is larger than allowed.
pub(super) fn check_size(length: BodyLength, max: u64) -> Result<(), Denial> {
    match length {
        BodyLength::Known(length) if max > 0 && length > max => {
            Err(Denial::new(Code::TooLarge, "the request body is larger than allowed"))
        }
        _ => Ok(()),
    }
}

/// Returns how the body is packed. One that cannot be looked into is refused, unless findings would only warn.
pub(super) fn packing(head: &RequestHead, request: &Request) -> Result<Packing, Denial> {
    match unpack::packing(head.values("content-encoding")) {
        Err(error) if request.snapshot.inspector.blocks() => Err(unreadable(error)),
        Err(_) => Ok(Packing::Plain),
        Ok(packing) => Ok(packing),
    }
}

fn unreadable(error: PackingError) -> Denial {
    Denial::new(error.code(), error.to_string())
}
