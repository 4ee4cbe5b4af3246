//! The commands that only read: list, info, policy, doctor, plugin, schema.

use insta::assert_snapshot;

use crate::support::{Home, assert_code, assert_says, json, keys, stderr, stdout};

#[test]
fn agents() {
    let home = Home::new();
    assert_snapshot!(home.shown(&["list"]), @"
    exit 0
    --- stdout
    AGENT  BOTTLE  SKILLS  DEFINED
    hello  dev             ~/claude-bottle.yaml:8
    shell  dev             ~/claude-bottle.yaml:14
    ");
    assert_snapshot!(home.shown(&["list", "--format", "json"]), @r#"
    exit 0
    --- stdout
    [
      {
        "agent": "hello",
        "bottle": "dev",
        "skills": [],
        "defined": "~/claude-bottle.yaml:8"
      },
      {
        "agent": "shell",
        "bottle": "dev",
        "skills": [],
        "defined": "~/claude-bottle.yaml:14"
      }
    ]
    "#);
    assert_eq!(stdout(&home.call(&["list", "agents"])), stdout(&home.call(&["list"])));
}

#[test]
fn agents_of_both_files() {
    let home = Home::new();
    home.write("work/claude-bottle.yaml", "agents:\n  hello: { bottle: dev }\n  here: { bottle: dev }\n");
    assert_snapshot!(home.shown(&["list"]), @"
    exit 0
    --- stdout
    AGENT  BOTTLE  SKILLS  DEFINED
    hello  dev             claude-bottle.yaml:2
    here   dev             claude-bottle.yaml:3
    shell  dev             ~/claude-bottle.yaml:14
    ");
}

#[test]
fn what_an_agent_is_granted() {
    let home = Home::with(
        "\
bottles:
  dev:
    env:
      COLOUR: blue
      TOKEN: ${MY_TOKEN}
      ASKED: '?the password'
    ssh:
      - { Host: git, IdentityFile: /etc/passwd, Hostname: 10.0.0.7, User: git, Port: 2222 }
    egress:
      allowlist: ['*.example.com:8443', deny bad.example.com]
      hosts: { db.test: 10.1.2.3 }
      private: [{ host: db.test, range: 10.1.2.0/24 }]
      proxy: guard
    limits: { cpus: 1.5, memory: 2g, pids: 200 }
    image: mine:1
agents:
  a: { bottle: dev, prompt: \"One.\\nTwo.\\n\" }
",
    );
    assert_snapshot!(home.shown(&["info", "a"]), @"
    exit 0
    --- stdout
    agent    a (~/claude-bottle.yaml:17)
    command  claude --dangerously-skip-permissions
    skills   none
    prompt   10 chars; first line: One.
    bottle   dev (~/claude-bottle.yaml:2)
    image    mine:1
    limits   1.5 cpus, 2048 MiB of memory, 200 processes
    proxy    guard
    https    opened and inspected under this bottle's own authority: that of every host

    ENV     VALUE FROM              DEFINED
    ASKED   asked at launch         ~/claude-bottle.yaml:6
    COLOUR  the manifest            ~/claude-bottle.yaml:4
    TOKEN   the host's environment  ~/claude-bottle.yaml:5

    SSH HOST  TARGET             KEY          DEFINED
    git       git@10.0.0.7:2222  /etc/passwd  ~/claude-bottle.yaml:8

    EGRESS RULE                DEFINED
    api.anthropic.com          default
    statsig.anthropic.com      default
    sentry.io                  default
    claude.ai                  default
    platform.claude.com        default
    downloads.claude.ai        default
    raw.githubusercontent.com  default
    *.example.com:8443         bottle dev, ~/claude-bottle.yaml:10
    deny bad.example.com       bottle dev, ~/claude-bottle.yaml:10
    10.0.0.7:2222              ssh entry `git`, ~/claude-bottle.yaml:8

    HOST     FIXED ADDRESSES
    db.test  10.1.2.3

    HOST      PRIVATE RANGE
    10.0.0.7  10.0.0.7/32
    db.test   10.1.2.0/24
    ");
    assert_snapshot!(home.shown(&["info", "a", "--format", "json"]), @r#"
    exit 0
    --- stdout
    {
      "agent": "a",
      "defined": "~/claude-bottle.yaml:17",
      "command": [
        "claude",
        "--dangerously-skip-permissions"
      ],
      "skills": [],
      "prompt_chars": 10,
      "prompt_first_line": "One.",
      "bottle": "dev",
      "bottle_defined": "~/claude-bottle.yaml:2",
      "env": [
        {
          "name": "ASKED",
          "from": "asked at launch",
          "defined": "~/claude-bottle.yaml:6"
        },
        {
          "name": "COLOUR",
          "from": "the manifest",
          "defined": "~/claude-bottle.yaml:4"
        },
        {
          "name": "TOKEN",
          "from": "the host's environment",
          "defined": "~/claude-bottle.yaml:5"
        }
      ],
      "ssh": [
        {
          "host": "git",
          "target": "git@10.0.0.7:2222",
          "identity_file": "/etc/passwd",
          "defined": "~/claude-bottle.yaml:8"
        }
      ],
      "egress": {
        "proxy": "guard",
        "rules": [
          {
            "rule": "api.anthropic.com",
            "origin": "default"
          },
          {
            "rule": "statsig.anthropic.com",
            "origin": "default"
          },
          {
            "rule": "sentry.io",
            "origin": "default"
          },
          {
            "rule": "claude.ai",
            "origin": "default"
          },
          {
            "rule": "platform.claude.com",
            "origin": "default"
          },
          {
            "rule": "downloads.claude.ai",
            "origin": "default"
          },
          {
            "rule": "raw.githubusercontent.com",
            "origin": "default"
          },
          {
            "rule": "*.example.com:8443",
            "origin": "bottle dev, ~/claude-bottle.yaml:10"
          },
          {
            "rule": "deny bad.example.com",
            "origin": "bottle dev, ~/claude-bottle.yaml:10"
          },
          {
            "rule": "10.0.0.7:2222",
            "origin": "ssh entry `git`, ~/claude-bottle.yaml:8"
          }
        ],
        "hosts": [
          {
            "host": "db.test",
            "addresses": [
              "10.1.2.3"
            ]
          }
        ],
        "private": [
          {
            "host": "10.0.0.7",
            "range": "10.0.0.7/32"
          },
          {
            "host": "db.test",
            "range": "10.1.2.0/24"
          }
        ],
        "intercept": {
          "mode": "all",
          "opened": [
            "*.example.com",
            "10.0.0.7",
            "api.anthropic.com",
            "claude.ai",
            "downloads.claude.ai",
            "platform.claude.com",
            "raw.githubusercontent.com",
            "sentry.io",
            "statsig.anthropic.com"
          ],
          "passthrough": []
        }
      },
      "image": "mine:1",
      "tools": [],
      "limits": {
        "cpus": 1.5,
        "memory_bytes": 2147483648,
        "pids": 200
      },
      "options": []
    }
    "#);
}

#[test]
fn an_agent_that_is_not_there() {
    let home = Home::new();
    assert_snapshot!(home.shown(&["info", "helo"]), @"
    exit 1
    --- stderr
    error: there is no agent `helo`

    hint: did you mean `hello`?
    hint: agents: hello, shell
    ");
    assert_code(&home.call(&["policy", "check", "helo", "a.test"]), 1);
}

#[test]
fn a_host_that_is_allowed_and_some_that_are_not() {
    let home = Home::new();
    let check = |target| home.shown(&["policy", "check", "hello", target]);
    assert_snapshot!(check("github.com"), @"
    exit 0
    --- stdout
    allowed: `github.com:443` is allowed
    rule: github.com (bottle dev, ~/claude-bottle.yaml:6)
    https: opened
    ");
    assert_snapshot!(check("api.anthropic.com:443"), @"
    exit 0
    --- stdout
    allowed: `api.anthropic.com:443` is allowed
    rule: api.anthropic.com (default)
    https: opened
    ");
    assert_snapshot!(check("git.example:22"), @"
    exit 0
    --- stdout
    allowed: `git.example:22` is allowed
    rule: git.example:22 (bottle dev, ~/claude-bottle.yaml:6)
    ");
    assert_snapshot!(check("git.example"), @"
    exit 1
    --- stdout
    refused: `git.example` is allowed, but not HTTPS to port 443
    rule: git.example:22 (bottle dev, ~/claude-bottle.yaml:6)
    hint: to allow git.example, add it to `egress.allowlist` of bottle `dev` (~/claude-bottle.yaml:2): claude-bottle edit
    ");
    assert_snapshot!(check("gist.github.com"), @"
    exit 1
    --- stdout
    refused: `gist.github.com` is denied by a rule
    rule: deny gist.github.com (bottle dev, ~/claude-bottle.yaml:6)
    hint: do not retry; the user has denied this on purpose
    ");
    assert_snapshot!(check("evil.test"), @"
    exit 1
    --- stdout
    refused: `evil.test` is not on the allowlist
    hint: to allow evil.test, add it to `egress.allowlist` of bottle `dev` (~/claude-bottle.yaml:2): claude-bottle edit
    ");
    assert_snapshot!(check("10.0.0.1"), @"
    exit 1
    --- stdout
    refused: the address `10.0.0.1` is not named by a rule
    hint: to allow 10.0.0.1, add it to `egress.allowlist` of bottle `dev` (~/claude-bottle.yaml:2): claude-bottle edit
    ");
    assert_snapshot!(check("https://github.com/"), @"
    exit 0
    --- stdout
    allowed: `github.com:443` is allowed
    rule: github.com (bottle dev, ~/claude-bottle.yaml:6)
    https: opened
    ");
    assert_snapshot!(check("github.com/x"), @"
    exit 2
    --- stderr
    error: `github.com/x` is not a HOST[:PORT] or URL: the host name contains the character '/'
    ");
    assert_snapshot!(home.shown(&["policy", "check", "hello", "github.com", "--http", "--format", "json"]), @r#"
    exit 0
    --- stdout
    {
      "agent": "hello",
      "running": null,
      "host": "github.com",
      "port": 80,
      "allowed": true,
      "manifest_allowed": null,
      "code": "allowed",
      "rule": "github.com",
      "origin": "bottle dev, ~/claude-bottle.yaml:6",
      "reason": "`github.com:80` is allowed"
    }
    "#);
}

#[test]
fn a_request_is_decided_by_its_method_and_path() {
    let home = Home::new();
    let allowlist = "[\"GET,HEAD deb.test:80/debian/**\", \"deny GET deb.test:80/**/secret\"]";
    home.write("claude-bottle.yaml", &format!("bottles:\n  dev:\n    egress:\n      allowlist: {allowlist}\nagents:\n  hello: {{ bottle: dev }}\n"));
    let check = |target, more: &[&str]| home.shown(&[&["policy", "check", "hello", target], more].concat());
    assert_snapshot!(check("http://deb.test/debian/pool/x?y", &[]), @"
    exit 0
    --- stdout
    allowed: `deb.test:80` is allowed
    rule: GET,HEAD deb.test:80/debian/** (bottle dev, ~/claude-bottle.yaml:4)
    ");
    assert_snapshot!(check("http://deb.test/debian/pool/x", &["--method", "PUT"]), @"
    exit 1
    --- stdout
    refused: `deb.test` is allowed, but not by this method
    rule: GET,HEAD deb.test:80/debian/** (bottle dev, ~/claude-bottle.yaml:4)
    hint: do not retry with this method; ask the user to allow it under `egress.allowlist` of this bottle
    ");
    assert_snapshot!(check("http://deb.test/other", &[]), @"
    exit 1
    --- stdout
    refused: `deb.test` is allowed, but not this path
    rule: GET,HEAD deb.test:80/debian/** (bottle dev, ~/claude-bottle.yaml:4)
    hint: do not retry; ask the user to add the path to `egress.allowlist` of this bottle
    ");
    assert_snapshot!(check("http://deb.test/debian/Secret/", &[]), @"
    exit 1
    --- stdout
    refused: such a request to `deb.test` is denied by a rule
    rule: deny GET deb.test:80/**/secret (bottle dev, ~/claude-bottle.yaml:4)
    hint: do not retry; the user has denied this on purpose
    ");
    assert_snapshot!(check("http://deb.test/debian/%2e%2e/x", &[]), @"
    exit 1
    --- stdout
    refused: the path has a `.` or `..` segment
    rule: GET,HEAD deb.test:80/debian/** (bottle dev, ~/claude-bottle.yaml:4)
    hint: write the path plainly: without `.` and `..`, empty segments, backslashes, and escaped slashes
    ");
    let answer =
        json(&home.call(&["policy", "check", "hello", "http://deb.test/debian/x", "--format", "json"]));
    assert_eq!((&answer["method"], &answer["allowed"]), (&"GET".into(), &true.into()));
    assert_snapshot!(check("deb.test", &["--method", "PUT"]), @"
    exit 2
    --- stderr
    error: `--method` is for a request: write the host as a URL, `http://host/path`
    ");
    assert_snapshot!(check("http://deb.test/", &["--http"]), @"
    exit 2
    --- stderr
    error: a URL says how it is asked for: leave `--http` out
    ");
    assert_snapshot!(check("ftp://deb.test/", &[]), @"
    exit 2
    --- stderr
    error: `ftp://deb.test/` is not a valid URL: the URL does not begin with `http://` or `https://`
    ");
}

#[test]
fn the_keys_of_a_policy_answer_are_a_contract() {
    let answer = json(&Home::new().call(&["policy", "check", "hello", "evil.test", "--format", "json"]));
    let expected = [
        "agent",
        "allowed",
        "code",
        "host",
        "manifest_allowed",
        "origin",
        "port",
        "reason",
        "rule",
        "running",
    ];
    assert_eq!(keys(&answer), expected);
    assert_eq!(answer["code"], "not_in_allowlist");
}

#[test]
fn a_doctors_findings() {
    let home = Home::new();
    assert_snapshot!(home.shown(&["doctor"]), @"
    exit 0
    --- stdout
    fake (selected): usable, with warnings
      warning: the fake backend isolates nothing; it is for tests
    manifest: ok: ~/claude-bottle.yaml with hello, shell
    disk: ok: [SIZE] free at `[DIR]`
    ");
    assert_snapshot!(home.shown(&["doctor", "--format", "json"]), @r#"
    exit 0
    --- stdout
    [
      {
        "backend": "fake",
        "selected": true,
        "health": "degraded",
        "reason": null,
        "remedy": null,
        "facts": [],
        "warnings": [
          "the fake backend isolates nothing; it is for tests"
        ],
        "hints": [],
        "checks": [
          {
            "check": "manifest",
            "state": "ok",
            "message": "~/claude-bottle.yaml with hello, shell",
            "fix": null
          },
          {
            "check": "disk",
            "state": "ok",
            "message": "[SIZE] free at `[DIR]`",
            "fix": null
          }
        ]
      }
    ]
    "#);
}

#[test]
fn a_doctor_names_the_agents_that_would_be_refused() {
    let home = Home::with(
        "bottles:\n  dev:\n    env: { TOKEN: \"${NOT_THERE}\" }\n  plain: {}\n\
         agents:\n  a: { bottle: dev, command: [echo] }\n  b: { bottle: plain, command: [echo] }\n",
    );
    let output = home.call(&["doctor"]);
    assert_code(&output, 1);
    let said = stdout(&output);
    assert_says(&said, &["fake (selected): usable", "agent `a` cannot start: ", "NOT_THERE"]);
    assert!(!said.contains("agent `b`"), "{said}");
    let answer = json(&home.call(&["doctor", "--format", "json"]));
    assert_eq!(answer[0]["agents"][0]["agent"], "a");
    assert_says(&stderr(&home.call(&["start", "a", "--dry-run"])), &["NOT_THERE"]);
    home.assert_nothing_left();
}

#[test]
fn a_doctor_on_a_backend_that_is_not_there() {
    let home = Home::new();
    assert_snapshot!(home.shown_with(&["doctor"], &[("CLAUDE_BOTTLE_BACKEND", "nomad")]), @"
    exit 1
    --- stdout
    fake: usable, with warnings
      warning: the fake backend isolates nothing; it is for tests
    nomad (selected): not usable
      reason: backend `nomad` not found
      note: available backends: fake
      note: looked in: `[HOME]/.local/share/claude-bottle/plugins` (data directory, does not exist); `[PREFIX]/lib/claude-bottle/plugins` (next to the program)
      fix: to add it: install -D -m 755 FILE ~/.local/share/claude-bottle/plugins/claude-bottle-backend-nomad.so
    manifest: ok: ~/claude-bottle.yaml with hello, shell
    disk: ok: [SIZE] free at `[DIR]`
    nomad does not work here, and fake does: export CLAUDE_BOTTLE_BACKEND=fake
    ");
    let found = home.call_with(&["doctor", "--format", "json"], &[("CLAUDE_BOTTLE_BACKEND", "nomad")]);
    assert_eq!(json(&found)[1]["instead"], "fake");
}

#[test]
fn plugins() {
    let home = Home::new();
    assert_snapshot!(home.shown(&["plugin", "list"]), @"
    exit 0
    --- stdout
    NAME  VERSION  CONTRACT  SHA256        PINNED  STATUS  FILE
    fake  0.1.0    1.1       [HASH]  no      usable  [PREFIX]/lib/claude-bottle/plugins/claude-bottle-backend-fake.so
    ");
    let listed = json(&home.call(&["plugin", "list", "--format", "json"]));
    assert_eq!(listed[0]["name"], "fake");
    assert_eq!(listed[0]["status"], "usable");
    for key in ["version", "contract", "path", "origin", "sha256", "pinned", "needed", "shadowed"] {
        assert!(keys(&listed[0]).contains(&key), "{key}");
    }
}

#[test]
fn a_plugin_is_pinned_and_unpinned() {
    let home = Home::new();
    assert_snapshot!(home.shown(&["plugin", "pin", "fake"]), @"
    exit 0
    --- stderr
    pinned fake to sha256 [SHA256]
    ");
    assert_eq!(json(&home.call(&["plugin", "list", "--format", "json"]))[0]["pinned"], true);
    assert_snapshot!(home.shown(&["plugin", "unpin", "fake"]), @"
    exit 0
    --- stderr
    unpinned fake
    ");
    assert_snapshot!(home.shown(&["plugin", "pin", "nomad"]), @"
    exit 1
    --- stderr
    error: backend `nomad` not found

    hint: available backends: fake
    hint: looked in: `[HOME]/.local/share/claude-bottle/plugins` (data directory, does not exist); `[PREFIX]/lib/claude-bottle/plugins` (next to the program)
    hint: to add it: install -D -m 755 FILE ~/.local/share/claude-bottle/plugins/claude-bottle-backend-nomad.so
    ");
}

#[test]
fn a_broken_plugin_is_listed_and_hides_no_other() {
    let home = Home::new();
    home.write(".local/share/claude-bottle/plugins/claude-bottle-backend-broken.so", "no library");
    assert_snapshot!(home.shown(&["plugin", "list"]), @"
    exit 0
    --- stdout
    NAME    VERSION  CONTRACT  SHA256        PINNED  STATUS                                                FILE
    broken  -        -         [HASH]  no      refused: it is not a shared library (text, 10 bytes)  [HOME]/.local/share/claude-bottle/plugins/claude-bottle-backend-broken.so
    fake    0.1.0    1.1       [HASH]  no      usable                                                [PREFIX]/lib/claude-bottle/plugins/claude-bottle-backend-fake.so
    ");
    assert_code(&home.call(&["start", "hello", "--yes"]), 0);
    assert_snapshot!(home.shown(&["start", "hello", "--yes", "--backend", "broken"]), @"
    exit 125
    --- stderr
    error: plug-in `[HOME]/.local/share/claude-bottle/plugins/claude-bottle-backend-broken.so` cannot be used
      caused by: it is not a shared library (text, 10 bytes)

    hint: install the plug-in again; copy to another name first and then rename: cp FILE DIR/new && mv DIR/new DIR/claude-bottle-backend-NAME.so
    ");
}

#[test]
fn the_schema_is_json() {
    let output = Home::empty().call(&["schema"]);
    assert_code(&output, 0);
    assert!(json(&output)["$schema"].as_str().unwrap().starts_with("https://json-schema.org/"));
}

#[test]
fn wrong_command_lines() {
    let home = Home::new();
    assert_snapshot!(home.shown(&["strat"]), @"
    exit 2
    --- stderr
    error: unrecognized subcommand 'strat'

      hint: some similar subcommands exist: 'secret', 'trust', 'start'

    Usage: claude-bottle [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ");
    assert_snapshot!(home.shown(&["start"]), @"
    exit 2
    --- stderr
    error: which agent? The manifest has hello, shell

    hint: claude-bottle start hello
    ");
    assert_snapshot!(home.shown(&["list", "--format", "xml"]), @"
    exit 2
    --- stderr
    error: invalid value 'xml' for '--format <FORMAT>'
      [possible values: text, json]

    For more information, try '--help'.
    ");
    assert_snapshot!(home.shown(&["-q", "-v", "list"]), @"
    exit 2
    --- stderr
    error: the argument '--quiet' cannot be used with '--verbose...'

    Usage: claude-bottle --quiet <COMMAND>

    For more information, try '--help'.
    ");
    assert_code(&home.call(&[]), 2);
}
