//! The client's side of HTTP/1: strict heads, destinations, framing, and the answers the guard gives itself.
//!
//! The client's bytes are parsed here and not by a library, because what is ambiguous has to be refused, not repaired.

pub mod destination;
pub mod frame;
pub mod framing;
pub mod head;
pub(crate) mod response;
