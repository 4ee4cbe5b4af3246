//! An in-memory backend: what the host's tests load, and the template an author starts from.
//!
//! It keeps its bottles in files of its data directory, so that another process can list and close them, and
//! runs an agent's command as a plain child process without any isolation. With a working directory it has a home of its own. It is for tests alone: the plan says
//! so, and `probe` warns of it. Faults are injected by the setting `FAKE_FAULT`: `panic:launch`, `error:close`,
//! `hang:provision`, `print:prepare`.

#![forbid(unsafe_code)]

mod backend;
mod fault;
mod files;
mod halt;
mod store;

use backend::Fake;

claude_bottle_plugin_api::export_backend!(Fake, name = "fake");
