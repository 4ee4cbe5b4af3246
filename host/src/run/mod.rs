//! One run of an agent: what is asked of a backend, the backend that carries it out, and the record of what happened.

pub mod backend;
pub mod capabilities;
pub mod changes;
pub mod claude_files;
pub mod closing;
pub mod ending;
pub mod hold;
pub mod intercept;
pub mod names;
pub mod options;
pub mod owner;
pub mod placeholders;
pub mod plan_view;
pub mod plugin_services;
pub mod reaper;
pub mod records;
pub mod secrets;
pub mod session;
pub mod setup;
pub mod spec;
pub mod stage;
pub mod surroundings;
pub mod tools;
pub mod values;
pub mod variables;
pub mod workspace;
