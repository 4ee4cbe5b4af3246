//! Streams, names and connections: everything that touches the network, and no policy.

pub(crate) mod ask_tunnel;
mod copy;
pub mod dial;
pub mod join;
pub mod listen;
pub(crate) mod opened;
pub mod resolve;
mod splice;
pub mod stream;
