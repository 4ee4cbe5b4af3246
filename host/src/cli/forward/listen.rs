//! Which port of a bottle is opened under which number here, and its listener: on 127.0.0.1, and on no other address.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::str::FromStr;

use crate::error::{CliError, CliResult, Exit};

/// A port that is wanted, as it is written: `PORT[:HOSTPORT]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    port: u16,
    /// Without it the same number, or a free one.
    host_port: Option<u16>,
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (port, host_port) = text.split_once(':').unwrap_or((text, "0"));
        let port = match number(port)? {
            0 => return Err(not_a_port("0")),
            port => port,
        };
        Ok(Self { port, host_port: Some(number(host_port)?).filter(|port| *port != 0) })
    }
}

fn number(text: &str) -> Result<u16, String> {
    // A sign is not part of a port.
    let digits = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|text| text.parse().ok()).ok_or_else(|| not_a_port(text))
}

fn not_a_port(text: &str) -> String {
    format!("`{text}` is not a valid port: use a whole number from 1 to 65535")
}

/// A port that is open.
#[derive(Debug)]
pub(super) struct Entrance {
    /// The port in the bottle.
    pub(super) port: u16,
    /// The one here.
    pub(super) host_port: u16,
    /// Whether the same number could not be had.
    pub(super) is_other: bool,
    pub(super) listener: TcpListener,
}

/// Opens a port.
pub(super) fn open(wanted: Wanted) -> CliResult<Entrance> {
    let first = wanted.host_port.unwrap_or(wanted.port);
    let (listener, is_other) = match listen(first) {
        Ok(listener) => (listener, false),
        Err(error) if wanted.host_port.is_some() || !can_be_another(&error) => {
            return Err(refused(wanted, first, error));
        }
        Err(_) => (listen(0).map_err(|error| refused(wanted, first, error))?, true),
    };
    let host_port = listener.local_addr()?.port();
    Ok(Entrance { port: wanted.port, host_port, is_other, listener })
}

fn listen(port: u16) -> io::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Returns `true` if another number may be had: this one is taken, or is one of the system's.
fn can_be_another(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
}

fn refused(wanted: Wanted, host_port: u16, error: io::Error) -> CliError {
    let error = anyhow::Error::new(error).context(format!("cannot listen on `127.0.0.1:{host_port}`"));
    let hint = format!("let a free one be found: claude-bottle forward BOTTLE {}", wanted.port);
    CliError { exit: Exit::Failed, ..error.into() }.hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bottles_port_comes_first() {
        let check = |text: &str, expected: Result<(u16, Option<u16>), &str>| {
            let wanted = text.parse::<Wanted>().map(|wanted| (wanted.port, wanted.host_port));
            match expected {
                Ok(expected) => assert_eq!(wanted, Ok(expected), "{text}"),
                Err(word) => assert!(
                    wanted
                        .as_ref()
                        .is_err_and(|text| text.starts_with(&format!("`{word}` is not a valid port"))),
                    "{wanted:?}"
                ),
            }
        };
        check("5173", Ok((5173, None)));
        check("5173:8080", Ok((5173, Some(8080))));
        check("5173:0", Ok((5173, None)));
        check("65535:1", Ok((65535, Some(1))));
        for (text, word) in [
            ("0", "0"),
            ("0:80", "0"),
            ("65536", "65536"),
            ("80:65536", "65536"),
            ("", ""),
            (":80", ""),
            ("80:", ""),
            ("-1", "-1"),
            ("+80", "+80"),
            ("80:80:80", "80:80"),
            ("http", "http"),
            ("127.0.0.1:80", "127.0.0.1"),
        ] {
            check(text, Err(word));
        }
    }

    #[test]
    fn a_number_that_is_taken_is_another_one_unless_it_was_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let entrance = open(Wanted { port, host_port: None }).unwrap();
        assert!(entrance.is_other && entrance.host_port != port && entrance.port == port);
        let error = open(Wanted { port: 80, host_port: Some(port) }).unwrap_err();
        assert_eq!(error.error.to_string(), format!("cannot listen on `127.0.0.1:{port}`"));
        assert_eq!(error.hints, ["let a free one be found: claude-bottle forward BOTTLE 80"]);
    }

    #[test]
    fn every_listener_is_on_the_loopback() {
        let entrance = open(Wanted { port: 1, host_port: None }).unwrap();
        assert_eq!(entrance.listener.local_addr().unwrap().ip(), Ipv4Addr::LOCALHOST);
    }
}
