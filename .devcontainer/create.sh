#!/usr/bin/env bash
# Run once, when the container has been made: what the tests need beside Rust and an engine, and git that works in a checkout of another user's.
set -euo pipefail
cd "$(dirname "$0")/.."

git config --global --add safe.directory "$PWD"
tests/setup/test-tools.sh
