//! What a client that knows no proxy pays for a new connection, next to one that asks the proxy for a tunnel: both from inside a live
//! bottle, in turns, to the same upstream.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};

use anyhow::Context;

use super::sheet::{Sheet, median};
use crate::home::Home;
use crate::live::{AGENT, Live};

/// The client inside: a connection by each way in turn, from the name to the first byte that comes back.
const CLIENT: &str = include_str!("caught.pl");

/// Connections of each way that are not measured.
const WARM: usize = 20;

pub(super) fn run(rounds: usize) -> anyhow::Result<Vec<Sheet>> {
    let port = echo()?;
    let home = Home::with(&format!(
        "bottles:\n  bench:\n    egress:\n      allowlist: ['echo.test:{port}']\n      hosts: {{ echo.test: 127.0.0.1 }}\n      \
         private: [{{ host: echo.test, range: 127.0.0.1/32 }}]\n\
         agents:\n  {AGENT}: {{ bottle: bench, command: [bash, -c, 'echo ready; read -r script; eval \"$script\"'] }}\n"
    ))?;
    ["bubblewrap", "docker"].map(|backend| measure(&home, backend, port, rounds * 40)).into_iter().collect()
}

fn measure(home: &Home, backend: &str, port: u16, turns: usize) -> anyhow::Result<Sheet> {
    let mut live = Live::start(home, backend, &[])?;
    let script = CLIENT.lines().collect::<Vec<_>>().join(" ").replace('\'', "'\\''");
    live.say(&format!("perl -e '{script}' echo.test {port} {}", turns + WARM))?;
    let mut times: [Vec<f64>; 2] = Default::default();
    for turn in 0..turns + WARM {
        let line = live.line()?;
        let both: Vec<f64> =
            line.split(' ').map(str::parse).collect::<Result<_, _>>().context(line.clone())?;
        for (times, time) in times.iter_mut().zip(both).filter(|_| turn >= WARM) {
            times.push(time * 1000.0);
        }
    }
    let mut added: Vec<f64> = times[0].iter().zip(&times[1]).map(|(asked, caught)| caught - asked).collect();
    let [asked, caught] = times.each_mut().map(|times| median(times));
    Ok(Sheet {
        title: format!("A new connection from inside, on {backend}"),
        columns: &["p50 ms"],
        rows: vec![
            ("by the proxy (CONNECT)", vec![asked]),
            ("caught, with its lookup", vec![caught]),
            ("added, of pairs", vec![median(&mut added)]),
        ],
    })
}

/// Sends back what comes.
fn echo() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            stream.set_nodelay(true).ok();
            std::thread::spawn(move || {
                let mut piece = [0; 64];
                while let Ok(length @ 1..) = stream.read(&mut piece) {
                    stream.write_all(&piece[..length]).ok();
                }
            });
        }
    });
    Ok(port)
}
