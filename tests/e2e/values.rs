//! Values of variables that are hard to carry: they arrive byte for byte.

use crate::support::backend::{Backend, on_a_cluster, on_each_backend_and_podman};
use crate::support::home::Home;
use crate::support::{assert_code, run, stderr, stdout};

on_each_backend_and_podman!(values_of_any_text_arrive_byte_for_byte);
on_a_cluster!(values_of_any_text_arrive_byte_for_byte);

fn values_of_any_text_arrive_byte_for_byte(backend: Backend) {
    let agent = &format!("e2e-values-{}", backend.name());
    let pem = "-----BEGIN PRIVATE KEY-----\r\nMC4CAQAwBQYDK2VwBCIEIHBg+/A=\r\n-----END PRIVATE KEY-----\r\n";
    let odd = "\"double\" 'single' $x ${HOME} $(id) `id` back\\slash \\n %s\ttab ünïcödé 日本語\u{1} \n\n";
    let manifest = format!(
        "bottles:\n  dev:\n    env: {{ PEM: '${{PEM}}', ODD: '${{ODD}}', EMPTY: '${{EMPTY}}', TEXT: \"a \\\"b\\\" $x\\r\\n\" }}\n    \
         egress: {{ allowlist: [] }}\nagents:\n  {agent}:\n    bottle: dev\n    command: [sh, -c, 'printf \"<%s>\" \"$PEM\" \"$ODD\" \
         \"${{EMPTY-not set}}\" \"$TEXT\"']\n"
    );
    let home = Home::new(&manifest).env("PEM", pem).env("ODD", odd).env("EMPTY", "");
    let output = run(&mut backend.command(&home, &["--quiet", "start", agent, "--yes"]));
    assert_code(&output, 0);
    assert_eq!(stdout(&output), format!("<{pem}><{odd}><><a \"b\" $x\r\n>"), "{}", stderr(&output));
    backend.assert_nothing_left(&home, agent);
}
