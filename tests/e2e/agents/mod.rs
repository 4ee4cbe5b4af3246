//! Agents by their profiles: what runs before them, which tools they get, and the real programs of others than Claude Code.

mod profiles;
mod setup;
mod tools;
mod tools_elsewhere;
