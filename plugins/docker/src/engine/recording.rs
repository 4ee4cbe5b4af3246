//! A recording double.
