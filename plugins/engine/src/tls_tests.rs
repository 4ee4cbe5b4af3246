//! TLS to a server of the test's own, with certificates made here: what is accepted, and what is refused.

use std::net::SocketAddr;

use claude_bottle_standin::{Authority, Pair};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::server::WebPkiClientVerifier;

use super::*;

fn roots(authority: &Authority) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
    roots
}

/// Serves one connection as an engine does: without a client's certificate of the authority it says nothing.
async fn serve(authority: &Authority, pair: &Pair) -> SocketAddr {
    let provider = Arc::new(ring::default_provider());
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots(authority)), Arc::clone(&provider));
    let chain = vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()];
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients.build().unwrap())
        .with_single_cert(chain, PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap())
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        if let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(stream).await {
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"hello").await.unwrap();
            tokio::io::AsyncWriteExt::shutdown(&mut stream).await.unwrap();
        }
    });
    address
}

/// A directory as `DOCKER_CERT_PATH` names it.
fn directory(authority: &Authority, own: Option<&Pair>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("ca.pem"), &authority.pem).unwrap();
    if let Some(Pair { certificate, key }) = own {
        fs::write(dir.path().join("cert.pem"), certificate).unwrap();
        fs::write(dir.path().join("key.pem"), key).unwrap();
    }
    dir
}

/// Returns what a server says to a client with these files.
async fn hear(address: SocketAddr, name: &str, files: &Path) -> Result<String> {
    let stream = TcpStream::connect(address).await.unwrap();
    let address = TlsAddress { authority: format!("{name}:{}", address.port()), files: files.to_owned() };
    let mut stream = connect(config(files)?, &address, stream).await?;
    let mut said = String::new();
    stream.read_to_string(&mut said).await.map_err(EngineError::io)?;
    Ok(said)
}

#[tokio::test]
async fn an_engine_is_believed_by_its_own_authority_and_a_user_by_a_certificate() {
    let (authority, other) = (Authority::new("ours").unwrap(), Authority::new("another's").unwrap());
    let client = |authority: &Authority| authority.client("me", 2199).unwrap();
    let own = client(&authority);
    let good = || authority.server("127.0.0.1", 2199).unwrap();
    let heard = |server: Pair, files: tempfile::TempDir| {
        let authority = &authority;
        async move { hear(serve(authority, &server).await, "127.0.0.1", files.path()).await }
    };
    let said = heard(good(), directory(&authority, Some(&own))).await;
    assert_eq!(said.unwrap(), "hello");
    for (server, files, why) in [
        (good(), directory(&other, Some(&own)), "another authority has made it"),
        (authority.server("127.0.0.1", 2021).unwrap(), directory(&authority, Some(&own)), "it has expired"),
        (authority.server("far", 2199).unwrap(), directory(&authority, Some(&own)), "it is for another name"),
        (good(), directory(&authority, None), "wants one: CertificateRequired"),
        (good(), directory(&authority, Some(&client(&other))), "or wants one: "),
        (
            good(),
            directory(&authority, Some(&authority.client("me", 2021).unwrap())),
            "or wants one: CertificateExpired",
        ),
    ] {
        let error = heard(server, files).await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}: {why}");
    }
    // By a name as well as by an address.
    let files = directory(&authority, Some(&own));
    let address = serve(&authority, &authority.server("localhost", 2199).unwrap()).await;
    assert_eq!(hear(address, "localhost", files.path()).await.unwrap(), "hello");
}

#[test]
fn files_that_are_missing_or_damaged_are_named() {
    let authority = Authority::new("ours").unwrap();
    let own = authority.client("me", 2199).unwrap();
    for (damaged, content) in [
        ("ca.pem", None),
        ("cert.pem", None),
        ("key.pem", None),
        ("ca.pem", Some("")),
        ("cert.pem", Some("nonsense")),
        ("key.pem", Some(own.certificate.as_str())),
    ] {
        let dir = directory(&authority, Some(&own));
        match content {
            None => fs::remove_file(dir.path().join(damaged)).unwrap(),
            Some(content) => fs::write(dir.path().join(damaged), content).unwrap(),
        }
        let error = config(dir.path()).unwrap_err();
        assert!(
            matches!(error, EngineError::Certificate { .. }) && error.to_string().contains(damaged),
            "{error}"
        );
    }
    config(directory(&authority, None).path()).unwrap();
}
