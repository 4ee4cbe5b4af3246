//! Taking connections, for as long as a listener is there.

use std::io;
use std::time::Duration;

/// How long to pause when a connection cannot be taken, for want of descriptors or memory: the next cannot be taken either,
/// and nothing tells when it can.
const PAUSE: Duration = Duration::from_millis(20);

/// Serves each connection.
pub(crate) fn each<T>(incoming: impl IntoIterator<Item = io::Result<T>>, serve: impl FnMut(T)) {
    each_or(incoming, serve, || std::thread::sleep(PAUSE));
}

fn each_or<T>(
    incoming: impl IntoIterator<Item = io::Result<T>>,
    mut serve: impl FnMut(T),
    mut pause: impl FnMut(),
) {
    for connection in incoming {
        match connection {
            Ok(connection) => serve(connection),
            Err(_) => pause(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_a_pause_and_not_the_end() {
        let incoming =
            [Ok(1), Err(io::ErrorKind::OutOfMemory.into()), Err(io::ErrorKind::Other.into()), Ok(2)];
        let (mut served, mut pauses) = (Vec::new(), 0);
        each_or(incoming, |connection| served.push(connection), || pauses += 1);
        assert_eq!((served.as_slice(), pauses), ([1, 2].as_slice(), 2));
    }
}
