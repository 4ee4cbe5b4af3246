//! Streams, names and connections: everything that touches the network, and no policy.

pub mod dial;
pub mod listen;
mod pipe;
mod pump;
pub mod resolve;
pub mod splice;
pub mod stream;
