//! What the host asks of a Pod, and what it is told.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::protocol::Exec;

/// The version of all this.
pub const VERSION: u32 = 1;

/// How long a program whose output no connection shows is kept.
pub const LINGER: u64 = 60;

/// Which side of a Pod answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The guard, and with it what the host and it say to each other about the bottle.
    Guard,
    /// The agent's process 1.
    Bottle,
}

impl Side {
    /// Returns the side that a channel leads to: its lowest bit is set for the guard.
    pub fn of(channel: u64) -> Self {
        if channel == 0 || channel & 1 == 1 { Self::Guard } else { Self::Bottle }
    }

    /// Makes a channel's number of a random one.
    pub(crate) fn channel(self, random: u64) -> u64 {
        // Never that of the connection itself.
        let even = random | 1 << 63;
        if self == Self::Guard { even | 1 } else { even & !1 }
    }
}

/// What a connection begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Always [`VERSION`].
    pub version: u32,
    /// With it the connection is the bottle's lifeline: the seconds of silence after which the bottle ends.
    #[serde(default)]
    pub grace: Option<u32>,
}

/// The answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Always [`VERSION`].
    pub version: u32,
    /// Whether the agent's process 1 has come to the door.
    pub has_bottle: bool,
    /// Whether the guard has its policy.
    pub has_policy: bool,
}

/// What is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// Of the guard: take the configuration and the secrets that are the input, and listen.
    Policy,
    /// Of the guard: take another policy, a line of input.
    Reload,
    /// Of the guard: tell the decisions as they come.
    Log {
        /// How many of them are known.
        #[serde(default)]
        from: u64,
        /// Whether to wait for more once all of them are told.
        #[serde(default = "yes")]
        follow: bool,
    },
    /// Of the guard: open a port, and see which of these places answer; the port stays until the input ends.
    Prove {
        /// Addresses and ports.
        targets: Vec<SocketAddr>,
    },
    /// Of the bottle: tell of the wall.
    Wall,
    /// Of the bottle: see which of these places can be reached. None may be.
    Try {
        /// Addresses and ports.
        targets: Vec<SocketAddr>,
    },
    /// Of the bottle: take the [`crate::protocol::Setup`] that is the input.
    Setup,
    /// Of the bottle: unpack the archive that is the input.
    Put {
        /// The directory.
        path: String,
    },
    /// Of the bottle: pack a file or directory.
    Get {
        /// Its path.
        path: String,
    },
    /// Of the bottle: run a program.
    Exec {
        /// The program.
        exec: Exec,
        /// How many seconds it may be shown on no connection.
        #[serde(default = "linger")]
        linger: u64,
    },
    /// Of the bottle: end every program.
    Halt,
}

fn yes() -> bool {
    true
}

fn linger() -> u64 {
    LINGER
}

impl Verb {
    /// Returns for how many seconds what it does goes on with nothing that looks on.
    pub(crate) fn linger(&self) -> u64 {
        if let Self::Exec { linger, .. } = self { *linger } else { LINGER }
    }
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is done.
    Done,
    /// The guard listens.
    Listening {
        /// Where.
        address: String,
        /// The certificate of its authority, in PEM, when it has one.
        #[serde(default)]
        ca: Option<String>,
    },
    /// What the guard says to another policy: a line of JSON.
    Answer {
        /// The line.
        line: String,
    },
    /// The wall.
    Wall(Wall),
    /// What was reached.
    Tried(Vec<Tried>),
    /// All of an archive has arrived, or was sent.
    Moved {
        /// How many bytes.
        bytes: u64,
        /// Their hash, SHA-256 in hexadecimal.
        sha256: String,
    },
    /// What was to be packed, or the program, is not there.
    Missing,
    /// The program ended with this code, 128 + n for signal n.
    Ended {
        /// The code.
        code: i32,
    },
    /// It failed.
    Failed {
        /// Why.
        message: String,
    },
}

/// What is between a bottle and the Pod's network, as process 1 found it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wall {
    /// `netns`: a network namespace of its own.
    pub wall: String,
    /// The interfaces there are.
    pub interfaces: Vec<String>,
    /// How many routes lead elsewhere.
    pub routes: usize,
}

/// One place that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// The place.
    pub target: SocketAddr,
    /// Why it was not reached; none when it was.
    pub error: Option<String>,
}

/// One place as the guard sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The place.
    pub target: SocketAddr,
    /// Whether it answers.
    pub answers: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_leads_to_the_side_it_was_made_for() {
        for random in [0, 1, 2, u64::MAX, 1 << 63] {
            for side in [Side::Guard, Side::Bottle] {
                let channel = side.channel(random);
                assert_eq!((Side::of(channel), channel == 0), (side, false), "{random:x}");
            }
        }
    }

    #[test]
    fn verbs_are_words() {
        let text = |verb: &Verb| serde_json::to_string(verb).unwrap();
        assert_eq!(text(&Verb::Halt), r#""halt""#);
        assert_eq!(text(&Verb::Log { from: 3, follow: true }), r#"{"log":{"from":3,"follow":true}}"#);
        let read: Verb =
            serde_json::from_str(r#"{"exec":{"exec":{"command":["a"],"directory":"/"}}}"#).unwrap();
        assert_eq!(read.linger(), LINGER);
        assert!(serde_json::from_str::<Verb>(r#""unknown""#).is_err());
    }
}
