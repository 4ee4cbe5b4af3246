//! The `egress-guard` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    egress_guard::cli::main()
}
