//! What is only true on a cluster. `make test-cluster` starts one and runs these.

mod canary;
mod ends;
mod kills;
mod namespace;
