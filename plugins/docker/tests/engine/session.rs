//! Programs in a bottle: streams, terminals, secrets, signals.
