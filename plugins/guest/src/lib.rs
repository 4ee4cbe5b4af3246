//! The one program of ours in every bottle, and the stage that starts `bwrap` itself.
//!
//! One small static program with several subcommands, so that a bottle needs little of its image and few processes. In a bottle
//! of either kind:
//!
//! - `bottle-guest connect PROXY HOST PORT` gives `ssh` a way through the guard.
//! - `bottle-guest join PORT` joins its streams to a port of the bottle's own loopback, for a connection of the host's.
//! - `bottle-guest relay PORT SOCKET FORWARD…` joins a port to the guard's socket, for a backend whose process 1 is its own.
//! - `bottle policy`, `bottle ask HOST --why TEXT`, `bottle give-back HOST`: by this name it is a command of the agent's ([`agent`]).
//!
//! - `bottle-guest probe` tries what a bottle is to keep from its agent, for `claude-bottle verify` ([`probe`]). The host runs it by
//!   this name, wherever a backend has put the program.
//!
//! On the host alone:
//!
//! - `bottle-guest tied PARENT PROGRAM…` becomes a program that ends with its parent, such as the `ssh` by which an engine is reached.
//!
//! In a bubblewrap bottle ([`init`], [`protocol`]):
//!
//! - `bottle-guest outer PARENT GROUP…` runs on the host: it closes every descriptor that was inherited, joins control
//!   groups, gives root up, builds the system call filter and becomes `bwrap`.
//! - `bottle-guest inside` is what `bwrap` starts for a helper of a bottle: it makes sure that `bwrap` is still there, and
//!   becomes the helper.
//! - `bottle-guest init` is process 1 of the bottle: it reaps, relays `127.0.0.1:PORT` to the guard's socket, and
//!   starts programs on request of the backend.
//! - `bottle-guest stage` is what a program in the bottle is before it becomes itself: it takes a session, a
//!   terminal and limits. At a terminal it stays, so that the program can be suspended.
//!
//! In a container whose files and guard are the host's ([`init`], [`protocol`]):
//!
//! - `bottle-guest init SOCKET` is process 1 of the bottle: the same as above, once the backend has handed it its door.
//!
//! In another container ([`container`]):
//!
//! - `bottle-guest container` is process 1: it takes in what the bottle is, relays, knows the programs that run, and reaps.
//! - `bottle-guest exec START PROGRAM…` is what a program is before it becomes itself, started by the engine.
//! - `bottle-guest signal`, `missing`, `reach`, `remove` and `process-limit-hits` are short commands of the backend.
//! - `bottle-guest ssh-agent` starts the bottle's ssh-agent, and `bottle-guest bridge` hands requests on to it.
//!
//! In a Pod ([`pod`]):
//!
//! - `bottle-guest pod` is process 1 of the agent's container: it walls itself off, finds the guard, and does what the host asks for.
//! - `bottle-guest install PATH` puts this program where that container finds it.
//! - `bottle-guest ssh-socket PATH` is the bottle's end of an ssh-agent that runs on the host ([`ssh_socket`]).
//!
//! Invariant: nothing here is configured by the agent, and by the name `bottle` it does nothing that the agent could not do itself.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod accept;
pub mod agent;
mod caller;
pub mod connect;
pub mod container;
mod error;
mod exec;
pub mod init;
pub mod join;
pub mod launcher;
mod lead;
mod names;
pub mod parent;
pub mod pod;
pub mod probe;
pub mod protocol;
mod reaper;
pub mod relay;
mod search;
pub mod seccomp;
mod session;
pub mod ssh;
pub mod ssh_socket;
pub mod stage;
mod stat;
pub mod terminal;

pub use error::GuestError;
