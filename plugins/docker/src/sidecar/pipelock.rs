//! pipelock as a sidecar, as the first version ran it: <https://github.com/luckyPipewrench/pipelock>.

use claude_bottle_kit::Ready;
use claude_bottle_plugin_api::{Call, EnvValue, Failure, FailureKind, Result, Spec};
use zeroize::Zeroizing;

use super::{Delivery, Sidecar};
use crate::launch::process::ReadyLine;
use crate::plan::Planned;

/// The image has no such directory and needs none: the engine makes it for the volume.
const CONFIG_DIR: &str = "/etc/pipelock";
const CONFIG_FILE: &str = "pipelock.yaml";
/// The image names no user and would run as root; its own Helm chart uses this one.
const USER: &str = "65534:65534";

/// The line that it writes once it has read its configuration and the secrets, before it listens.
const READY_LINE: ReadyLine = ReadyLine { stream: 1, ready: Ready::Event("startup") };
/// The most lines that it reads, and how many bytes of each, from
/// <https://github.com/luckyPipewrench/pipelock/blob/v2.3.0/internal/scanner/scanner.go>, `LoadSecretsFile`.
const MOST_LINES: usize = 1000;
/// A multiple of three, so that a piece of a longer line is a piece of that line's base64 form too.
const LINE_BYTES: usize = 4095;
/// Shorter values are not looked for, as `dlp.min_env_secret_length` in its configuration says.
const SHORTEST: usize = 8;

/// Describes the sidecar that runs the image `reference`.
pub(super) fn sidecar(reference: &str, plan: &Planned, secrets: Zeroizing<Vec<u8>>) -> Sidecar {
    let words = ["run".to_owned(), "--listen".to_owned(), format!("0.0.0.0:{}", plan.port)];
    let config = ["--config".to_owned(), format!("{CONFIG_DIR}/{CONFIG_FILE}")];
    let hosts = plan.spec.bottle.egress.addresses.iter();
    Sidecar {
        image: reference.to_owned(),
        user: USER,
        command: words.into_iter().chain(config).collect(),
        delivery: Delivery::Volume { dir: CONFIG_DIR, file: CONFIG_FILE },
        secrets,
        ready_line: READY_LINE,
        extra_hosts: hosts.map(|(name, address)| format!("{name}:{address}")).collect(),
        port: plan.port,
    }
}

/// Returns the bottle's secrets as pipelock reads them from its standard input: one a line, the lines of a value apart.
///
/// The pipe belongs to pipelock's user with mode 600, which pipelock requires. It is read once: a sidecar that is started again
/// waits for its secrets and serves no request.
///
/// # Errors
/// Fails when a secret is not granted, and when there are more lines than pipelock reads.
pub(super) fn secrets(spec: &Spec, call: &Call) -> Result<Zeroizing<Vec<u8>>> {
    // It ignores this line, and an input without any byte would not be ended.
    let mut input = Zeroizing::new(b"# The secrets of this bottle.\n".to_vec());
    let mut lines = 0;
    for variable in spec.bottle.env.iter().filter(|variable| matches!(variable.value, EnvValue::Secret)) {
        let secret = call.secret(&variable.name)?;
        let found = value_lines(secret.expose(), &mut input);
        if found == 0 {
            tracing::warn!(variable = variable.name, "too short, so pipelock does not look for it");
        }
        lines += found;
    }
    if lines > MOST_LINES {
        let message =
            format!("pipelock looks for {MOST_LINES} lines of secrets, and this bottle's have {lines}");
        return Err(Failure::new(FailureKind::Unsupported, message)
            .hint("set `egress.proxy: guard` in the manifest, or grant fewer secrets"));
    }
    Ok(input)
}

/// Adds a value's lines and returns how many they are.
fn value_lines(value: &[u8], input: &mut Vec<u8>) -> usize {
    // What begins with a number sign is a comment to it, so the sign is left out.
    let lines = value.split(|byte| matches!(byte, b'\n' | b'\r' | 0)).map(|line| {
        let start = line.iter().position(|byte| !matches!(byte, b'#' | b' ' | b'\t')).unwrap_or(line.len());
        line[start..].trim_ascii()
    });
    let pieces = lines.flat_map(|line| line.chunks(LINE_BYTES)).filter(|piece| piece.len() >= SHORTEST);
    pieces.fold(0, |count, piece| {
        input.extend_from_slice(piece);
        input.push(b'\n');
        count + 1
    })
}

#[cfg(test)]
mod tests {
    use claude_bottle_plugin_api::{AgentSpec, EnvVar, Owner};

    use super::*;
    use crate::test_host;

    fn told(value: fn(&str) -> String) -> Result<String> {
        let mut spec = Spec::new("dev-1", AgentSpec::new("dev", Vec::new()), Owner::new("h", 1, 1));
        spec.bottle.env = vec![EnvVar::literal("PLAIN", "not-a-secret"), EnvVar::secret("TOKEN")];
        let input = secrets(&spec, &test_host::call(value))?;
        Ok(String::from_utf8(input.to_vec()).unwrap())
    }

    #[test]
    fn each_line_of_a_secret_is_one_that_it_looks_for() {
        let check = |value: &str, expected: &str| {
            let mut input = Vec::new();
            assert_eq!(value_lines(value.as_bytes(), &mut input), expected.lines().count());
            assert_eq!(String::from_utf8(input).unwrap(), expected);
        };
        check("canary-12345", "canary-12345\n");
        check("first-line\r\nshort\n  second-line \n", "first-line\nsecond-line\n");
        check("# number-sign", "number-sign\n");
        check("short", "");
        check(&"x".repeat(5000), &format!("{}\n{}\n", "x".repeat(4095), "x".repeat(905)));
    }

    /// An input without a byte would not be ended, and it would wait for its end.
    #[test]
    fn its_input_has_the_secrets_and_never_nothing() {
        let canary = told(|name| format!("canary of {name}")).unwrap();
        assert_eq!(canary, "# The secrets of this bottle.\ncanary of TOKEN\n");
        assert_eq!(told(|_| "short".to_owned()).unwrap(), "# The secrets of this bottle.\n");
    }

    #[test]
    fn more_than_it_reads_is_refused() {
        assert!(told(|_| "canary-12345\n".repeat(1000)).is_ok());
        let failure = told(|_| "canary-12345\n".repeat(1001)).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unsupported);
        assert!(failure.hints[0].contains("egress.proxy: guard"), "{failure:?}");
    }
}
