//! The one look into a tunnel: the ClientHello in front of it.

pub mod hello;
