//! The `claude-bottle` program.

fn main() -> std::process::ExitCode {
    claude_bottle::run()
}
