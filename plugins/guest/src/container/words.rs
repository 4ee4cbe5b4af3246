//! What a program of ours in a container says to process 1, and hears.

use serde::{Deserialize, Serialize};

/// To process 1.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Ask {
    /// The caller is about to lead a program's session.
    Enter { token: String, pid: i32 },
    /// The program is not there.
    Miss { token: String },
    /// The program has stopped. The first answer is that this is known, the second that the program is to go on.
    Stop { token: String },
    /// Was the program not there? This is forgotten with the answer.
    WasMissing { token: String },
    /// Send a signal to the program and what it has started; SIGCONT to one that has stopped.
    Signal { token: String, number: i32 },
}

/// From process 1.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    /// The bottle's variables.
    Variables(Vec<(String, Vec<u8>)>),
    /// It is so, or done.
    Yes,
    /// It is not so, or there is no such program.
    No,
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Self::Variables(variables) = self {
            for (_, value) in variables {
                zeroize::Zeroize::zeroize(value);
            }
        }
    }
}
