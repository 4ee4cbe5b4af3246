//! Quoting for a POSIX shell, and the file of environment assignments a bottle's shell reads.

/// Returns the bytes as one word of a POSIX shell; every byte but NUL survives.
pub fn quote(value: &[u8]) -> Vec<u8> {
    let mut word = Vec::with_capacity(value.len() + 2);
    word.push(b'\'');
    for &byte in value {
        // Inside single quotes nothing is special but the quote itself.
        if byte == b'\'' { word.extend_from_slice(b"'\\''") } else { word.push(byte) }
    }
    word.push(b'\'');
    word
}

/// Returns a shell script that exports one variable; `None` when a shell could not carry it.
pub fn env_file(name: &str, value: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if !first || !bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') || value.contains(&0) {
        return None;
    }
    let mut line = format!("export {name}=").into_bytes();
    line.extend(quote(value));
    line.push(b'\n');
    Some(line)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_real_shell_gives_every_byte_back() {
        let every: Vec<u8> = (1..=255).chain(*b"\n'\"$(x)`y`\\ ''\n").collect();
        let mut script = env_file("CANARY", &every).unwrap();
        script.extend_from_slice(b"printf %s \"$CANARY\"");
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("env"), script).unwrap();
        let output = Command::new("sh").arg(dir.path().join("env")).env("LC_ALL", "C").output().unwrap();
        assert_eq!(output.stdout, every);
    }

    #[test]
    fn what_a_shell_cannot_carry_is_refused() {
        for name in ["", "1A", "A-B", "A B", "A\n", "Ä", "A=B"] {
            assert_eq!(env_file(name, b"x"), None, "{name}");
        }
        assert_eq!(env_file("A", b"x\0y"), None);
        assert_eq!(env_file("_a1", b"").unwrap(), b"export _a1=''\n");
    }
}
