//! Two requests of the kernel about a network: bring an interface up, and give it an address.
//!
//! <https://man7.org/linux/man-pages/man7/netlink.7.html>, <https://man7.org/linux/man-pages/man7/rtnetlink.7.html>

use std::io;
use std::net::Ipv4Addr;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_CREATE: u16 = 0x400;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
/// <https://man7.org/linux/man-pages/man7/netdevice.7.html>
const IFF_UP: u32 = 1;
const AF_INET: u8 = 2;

/// Brings an interface up.
pub(super) fn bring_up(index: i32) -> io::Result<()> {
    let mut body = vec![0; 4];
    body.extend(index.to_ne_bytes());
    // The flags, and which of them are meant.
    body.extend(IFF_UP.to_ne_bytes());
    body.extend(IFF_UP.to_ne_bytes());
    ask(&message(RTM_NEWLINK, 0, &body))
}

/// Gives an interface an address for itself.
pub(super) fn add_address(index: i32, address: Ipv4Addr) -> io::Result<()> {
    let mut body = vec![AF_INET, 32, 0, 0];
    body.extend(index.to_ne_bytes());
    for kind in [IFA_LOCAL, IFA_ADDRESS] {
        body.extend(8_u16.to_ne_bytes());
        body.extend(kind.to_ne_bytes());
        body.extend(address.octets());
    }
    ask(&message(RTM_NEWADDR, NLM_F_CREATE, &body))
}

/// A head and a body.
fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    message.extend((16 + body.len() as u32).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_ACK | flags).to_ne_bytes());
    message.extend(1_u32.to_ne_bytes());
    message.extend(0_u32.to_ne_bytes());
    message.extend(body);
    message
}

fn ask(message: &[u8]) -> io::Result<()> {
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    sendto(&socket, message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut answer = [0; 512];
    let (_, length) = recv(&socket, &mut answer, RecvFlags::empty())?;
    outcome(answer.get(..length).unwrap_or_default())
}

/// Reads the error of an answer, 0 for none.
fn outcome(answer: &[u8]) -> io::Result<()> {
    let kind = answer.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    let code = answer.get(16..20).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
    match (kind, code) {
        (Some(NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(NLMSG_ERROR), Some(code)) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
        _ => Err(io::Error::other("the kernel gave a strange answer")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_an_error_number() {
        let answer = |kind: u16, code: i32| {
            let mut bytes = vec![0; 4];
            bytes.extend(kind.to_ne_bytes());
            bytes.resize(16, 0);
            bytes.extend(code.to_ne_bytes());
            bytes
        };
        assert!(outcome(&answer(NLMSG_ERROR, 0)).is_ok());
        assert_eq!(outcome(&answer(NLMSG_ERROR, -1)).unwrap_err().raw_os_error(), Some(1));
        assert!(outcome(&answer(RTM_NEWLINK, 0)).is_err() && outcome(&[]).is_err());
    }

    #[test]
    fn what_is_asked_for_needs_a_privilege_that_this_process_may_lack() {
        // There is no such interface in any case.
        assert!(bring_up(i32::MAX).is_err() && add_address(i32::MAX, Ipv4Addr::LOCALHOST).is_err());
    }
}
