//! What is Podman's own: a container that reaches nothing below HTTP, one that goes with its host, and an ordinary user's.

mod container;
mod ordinary_user;
