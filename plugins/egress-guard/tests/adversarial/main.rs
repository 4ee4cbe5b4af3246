//! Drives the real guard from outside, as raw sockets, the way an agent that wants out would.
//!
//! Everything stays on loopback: a name server that counts what it is asked, upstreams that remember what reached
//! them, and the guard as a process of its own.

#![cfg(test)]

mod agents_words;
mod asking;
mod capture;
mod caught;
mod caught_list;
mod ending;
mod h2;
mod h2_raw;
mod held;
mod http;
mod large;
mod lifecycle;
mod limits;
mod log;
mod masked;
mod memory;
mod model;
mod names;
mod opened;
mod policy;
mod program;
mod reload;
mod renewed;
mod resolve;
mod secrets;
mod stalls;
mod stdin;
mod support;
mod tunnel;
mod uploads;
mod upstream_proxy;
mod upstream_tls;
mod websocket;
mod words;
