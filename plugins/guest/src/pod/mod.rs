//! A bottle in a Pod: two containers, one of the guard and one of the agent, that share a volume and nothing else of ours.
//!
//! The host runs one constant command in the guard's container and speaks in frames to both sides of it ([`frame`]): to the guard,
//! and through it to the agent's process 1 ([`init`]), which puts itself behind a wall before anything else ([`wall`]). What the
//! host asks for is a call ([`verbs`]) on a channel of its own, whose frames are kept until they have been taken, so that a
//! connection that is lost loses nothing ([`window`], [`server`], [`client`]).
//!
//! Invariant: nothing personal is on a command line, in an environment or on a disk of the Pod but what the agent is to find there.

mod channel;
pub mod client;
pub mod door;
mod files;
pub mod frame;
pub mod init;
pub mod install;
mod program;
pub mod server;
pub mod verbs;
mod view;
pub mod wall;
pub mod window;

/// The volume that both containers have: the guard to write to, the agent to read.
pub const LINK: &str = "/run/claude-bottle/link";

/// Where process 1 of the agent's container finds the guard, in the volume. It is there until it was taken.
pub const DOOR: &str = "door/door.sock";

/// The directory of the guard's socket and of what is trusted, in the volume.
pub const EGRESS: &str = "egress";

/// Where the guard listens for the agent's requests, in the volume.
pub const GUARD: &str = "egress/guard.sock";

/// Where the guard listens for the host, in a directory of the volume that is closed to the agent.
pub const KNOCK: &str = "own/knock.sock";

/// The user of the agent's container.
pub const AGENT: u32 = 1000;

/// The guard's exit code when the host has been silent for longer than its grace.
pub const LIFELINE_LOST: u8 = 20;

/// The guard's exit code when the agent's process 1 is gone.
pub const BOTTLE_GONE: u8 = 21;

/// The exit code of the agent's process 1 when the guard is gone.
pub const GUARD_GONE: u8 = 22;

/// The exit code of the agent's process 1 when it could not put itself behind its wall.
pub const NO_WALL: u8 = 23;

#[cfg(test)]
mod tests;
