//! The rest of the clients: what `tests/setup/clients.sh` installs, cargo and pip. They take the network to be installed, so that this
//! has a target of its own: `make test-workspaces`.

use std::process::Command;

use super::trust::{Client, check, outside};
use crate::egress::session::Session;
use crate::support::backend::{Backend, on_each_backend};
use crate::support::{assert_code, clients, run};
use crate::workspaces::{install_tools, search_path};

on_each_backend!(
    #[ignore = "takes the network to install what it runs: make test-workspaces"]
    clients_of_the_registries_trust_the_bottles_authority,
);

const CLIENTS: [Client; 9] = [
    ("go", "./get URL", Some(true)),
    (
        "deno",
        "env DENO_DIR=/tmp/deno DENO_NO_UPDATE_CHECK=1 node_modules/deno/deno eval 'await fetch(Deno.args[0])' URL",
        Some(false),
    ),
    ("bun", "node_modules/bun/bin/bun.exe -e 'await fetch(process.argv.at(-1))' URL", Some(true)),
    ("undici", "node -e 'require(\"undici\").request(process.argv[1])' URL", Some(false)),
    (
        "aiohttp",
        "env PYTHONPATH=python /usr/bin/python3 -c 'import asyncio, sys, aiohttp
async def main():
    async with aiohttp.ClientSession() as session, session.get(sys.argv[1]) as answer: await answer.read()
asyncio.run(main())' URL",
        Some(true),
    ),
    (
        "httpx",
        "env PYTHONPATH=python /usr/bin/python3 -c 'import sys, httpx; httpx.get(sys.argv[1])' URL",
        Some(false),
    ),
    (
        "requests",
        "env PYTHONPATH=python /usr/bin/python3 -c 'import sys, requests; requests.get(sys.argv[1])' URL",
        Some(false),
    ),
    (
        "pip",
        "env PYTHONPATH=python /usr/bin/python3 -m pip --disable-pip-version-check --retries 0 download --no-deps --dest /tmp/wheels x --index-url URL",
        Some(true),
    ),
    (
        "cargo",
        // What rustup has put there asks where the rest is.
        "sh -c 'RUSTUP_HOME=$(dirname $(command -v cargo))/../../.rustup CARGO_HOME=/tmp/cargo CARGO_REGISTRIES_X_INDEX=sparse+$0/ cargo info x --registry x' URL",
        Some(true),
    ),
];

fn clients_of_the_registries_trust_the_bottles_authority(backend: Backend) {
    let agent = &format!("e2e-trust-clients-{}", backend.name());
    let tools = match backend {
        Backend::Docker => "image: claude-bottle-workspaces:latest",
        _ => "tools: [~/.rustup, ~/.cargo/bin]",
    };
    let (home, server) = outside(backend, |bottle| bottle.line(tools), &[agent]);
    install_tools(home.path());
    assert_code(&run(Command::new("cp").arg("-a").arg(clients().join(".")).arg(home.work())), 0);
    let mut start = backend.command(&home, &["--quiet", "start", agent, "--yes", "--cwd", "--no-save"]);
    start.env("PATH", search_path(home.path()));
    let mut inside = Session::start_by(start, &home, agent);
    check(&mut inside, &server, &CLIENTS);
    inside.end();
    backend.assert_nothing_left(&home, agent);
}
