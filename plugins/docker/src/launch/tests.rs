//! Launch on a recording engine.
