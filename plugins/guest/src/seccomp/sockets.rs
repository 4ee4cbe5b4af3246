//! Which sockets a bottle may open: the table that the filter here and the docker backend's profile are made from.

/// Stream sockets, as `socket` takes them in its second argument: <https://man7.org/linux/man-pages/man2/socket.2.html>.
const STREAM: u32 = 1;
/// Datagram sockets.
const DGRAM: u32 = 2;
/// Raw sockets.
pub(super) const RAW: u32 = 3;

/// What of the second argument is the kind; the rest is `SOCK_CLOEXEC` and `SOCK_NONBLOCK`.
pub const KIND_MASK: u32 = 0xf;

/// One family of sockets, and what of it may be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sockets {
    /// The number of the family.
    pub family: u32,
    /// The kinds that are allowed; `None` is all of them.
    pub kinds: Option<&'static [u32]>,
    /// The protocols that are allowed; `None` is all of them.
    pub protocols: Option<&'static [u32]>,
}

/// The protocols of IPv4 and IPv6: the kind's own, ICMP, TCP, UDP and ICMPv6. MPTCP (262) and SMC (256) are not among
/// them: they open connections that a filter of TCP does not see. SCTP, DCCP, L2TP and UDP-Lite are large and unused.
const INTERNET: Option<&[u32]> = Some(&[0, 1, 6, 17, 58]);

/// Every socket that may be opened.
///
/// `AF_VSOCK` (40) reaches the host of a virtual machine whatever the network namespace. Of netlink (16) the protocol
/// `NETLINK_ROUTE` (0) stays: it reads the bottle's own interfaces and, without a capability, changes nothing. Node's
/// `os.networkInterfaces()`, Go's `net.Interfaces()` and the C library's `getifaddrs` fail without it, and with them
/// most development servers.
pub const ALLOWED: [Sockets; 4] = [
    Sockets { family: 1, kinds: None, protocols: None },
    Sockets { family: 2, kinds: Some(&[STREAM, DGRAM]), protocols: INTERNET },
    Sockets { family: 10, kinds: Some(&[STREAM, DGRAM]), protocols: INTERNET },
    Sockets { family: 16, kinds: Some(&[DGRAM, RAW]), protocols: Some(&[0]) },
];
