//! Names of the inside: where things are in a bottle. The same as in the Docker backend, where both have them.

/// The agent's user and group number.
pub const ID: u32 = 1000;
/// The agent's user.
pub const USER: &str = "node";

/// Everything of ours that is not the agent's.
pub const OURS: &str = "/run/claude-bottle";
/// The guest program.
pub const INIT: &str = "/run/claude-bottle/bottle-guest";
/// The agent's own command, which is the guest program. Its directory is behind the others in `PATH`, which the guest program sees to.
pub const COMMAND: &str = "/run/claude-bottle/bin/bottle";
/// The directory of the guard's socket.
pub const GUARD_DIR: &str = "/run/claude-bottle/egress";
/// The guard's socket.
pub const GUARD_SOCKET: &str = "/run/claude-bottle/egress/guard.sock";
/// The directory of the ssh-agent's socket.
pub const SSH_DIR: &str = "/run/claude-bottle/ssh";
/// The ssh-agent's socket.
pub const SSH_SOCKET: &str = "/run/claude-bottle/ssh/agent.sock";

/// Where a program of the host that is not in `/usr` is found.
pub const PROGRAMS: &str = "/opt/claude-bottle";

/// Where programs are.
pub const SEARCH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
