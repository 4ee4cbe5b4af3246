//! What would be put in, for the fuzz target of the finder.

use claude_bottle_egress_policy::Code;

use super::Held;
use crate::http::destination::Destination;
use crate::http::head::{Header, RequestHead};

impl Held {
    /// Returns each header and target that would change, as it came and as it would go.
    ///
    /// # Errors
    /// Returns the code of a refusal.
    pub fn trial(&self, head: &RequestHead, wanted: &Destination) -> Result<Vec<(String, String)>, Code> {
        let put = self.put_into(head, wanted).map_err(|denial| denial.code)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let header = |(index, header): (usize, &Header)| {
            put.header(index).map(|value| (text(&header.value), text(value.as_bytes())))
        };
        let headers = head.headers.iter().enumerate().filter_map(header);
        let target = put.target().map(|target| (wanted.path.clone(), target.to_owned()));
        Ok(headers.chain(target).collect())
    }
}
