//! Looks a name up, once, without search domains, hosts file or the C library.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use claude_bottle_egress_policy::{Code, Host};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::Name;

/// Where the engine or the system writes its name servers.
pub const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Answers kept in memory; a bottle talks to a few dozen hosts.
const CACHE_ENTRIES: u64 = 256;

/// Name servers in a resolv.conf that are used, as in the C library: `man 5 resolv.conf`, MAXNS.
const MAX_SERVERS: usize = 3;

/// Looks names up, or knows why it cannot.
pub struct Resolver {
    inner: Option<TokioResolver>,
}

/// A lookup that gave no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// Nobody to ask.
    #[error("there is no name server to ask")]
    NoServer,
    /// The name has no address.
    #[error("the name has no address")]
    NoSuchHost,
    /// No answer, or no usable one.
    #[error("the name server gave no usable answer")]
    Failed,
}

impl ResolveError {
    /// Returns the stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::NoServer => Code::NoResolver,
            Self::NoSuchHost => Code::NoSuchHost,
            Self::Failed => Code::ResolveFailed,
        }
    }
}

impl Resolver {
    /// Returns a resolver that asks these servers, with `timeout` for the whole lookup.
    pub fn new(servers: &[SocketAddr], timeout: Duration) -> Self {
        if servers.is_empty() {
            return Self { inner: None };
        }
        let config =
            ResolverConfig::from_name_servers(servers.iter().map(|server| name_server(*server)).collect());
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options(timeout);
        Self { inner: builder.build().ok() }
    }

    /// Returns all addresses of a name, IPv4 first.
    pub async fn lookup(&self, host: &Host, timeout: Duration) -> Result<Vec<IpAddr>, ResolveError> {
        let resolver = self.inner.as_ref().ok_or(ResolveError::NoServer)?;
        // A name that ends in the root is looked up as it is, without any search domain.
        let name = Name::from_ascii(format!("{host}.")).map_err(|_| ResolveError::Failed)?;
        let lookup = tokio::time::timeout(timeout, resolver.lookup_ip(name)).await;
        let answer = lookup.map_err(|_| ResolveError::Failed)?.map_err(|error| classify(&error))?;
        let mut addresses: Vec<IpAddr> = answer.iter().collect();
        addresses.sort_by_key(IpAddr::is_ipv6);
        addresses.dedup();
        Ok(addresses)
    }
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let with_port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections = vec![with_port(ConnectionConfig::udp()), with_port(ConnectionConfig::tcp())];
    NameServerConfig::new(address.ip(), true, connections)
}

fn options(timeout: Duration) -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.timeout = timeout / 2;
    options.attempts = 2;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.use_hosts_file = ResolveHosts::Never;
    options.cache_size = CACHE_ENTRIES;
    options
}

fn classify(error: &NetError) -> ResolveError {
    if error.is_nx_domain() || error.is_no_records_found() {
        ResolveError::NoSuchHost
    } else {
        ResolveError::Failed
    }
}

/// Returns the name servers of a resolv.conf text. Lines that are not understood are skipped, as the C library does.
pub fn name_servers(text: &str) -> Vec<SocketAddr> {
    let server = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let address = (words.next() == Some("nameserver")).then(|| words.next()).flatten()?;
        address.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 53))
    };
    text.lines().filter_map(server).take(MAX_SERVERS).collect()
}

/// Returns the system's name servers; none when there is no file.
pub fn system_name_servers() -> io::Result<Vec<SocketAddr>> {
    match std::fs::read_to_string(RESOLV_CONF) {
        Ok(text) => Ok(name_servers(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_name_servers() {
        let text = "# made by the engine\nsearch corp.example\nnameserver 127.0.0.11\nnameserver\t2001:db8::1 # x\n\
                    nameserver fe80::1%eth0\nnameserver nonsense\noptions ndots:0\nnameserver 10.0.0.1\nnameserver 10.0.0.2\n";
        let servers: Vec<String> = name_servers(text).iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["127.0.0.11:53", "[2001:db8::1]:53", "10.0.0.1:53"]);
        assert!(name_servers("").is_empty());
    }

    #[tokio::test]
    async fn without_a_server_every_name_fails_closed() {
        let resolver = Resolver::new(&[], Duration::from_secs(1));
        let host = Host::parse("a.example").unwrap();
        assert_eq!(resolver.lookup(&host, Duration::from_secs(1)).await, Err(ResolveError::NoServer));
    }
}
