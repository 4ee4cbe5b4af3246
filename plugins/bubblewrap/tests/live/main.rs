//! The backend, for real: bottles are made by `bwrap`, run programs and are tried from inside.
//!
//! Everything runs twice: as whoever runs the tests and, when that is root, once more as an ordinary user.

mod basics;
mod support;
mod twice;
