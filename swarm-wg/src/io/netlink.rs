//! Addresses and routes by rtnetlink (RFC 3549; rtnetlink(7)): the requests a tunnel
//! makes, each acknowledged.
//!
//! The socket belongs to the network namespace it was opened in, so calls from a thread in
//! another one still reach the right interface.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use ipnet::IpNet;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

const NLMSG_ERROR: u16 = 2;
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const IFLA_TXQLEN: u16 = 13;
const IFLA_GSO_MAX_SIZE: u16 = 41;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_STATIC: u8 = 4;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;
const RTN_UNICAST: u8 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

pub(super) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    pub(super) fn open() -> io::Result<Self> {
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            None,
        )?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, 0))?;
        let timeout = Some(Duration::from_secs(2));
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, timeout)?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// Sets how many packets an interface may queue on their way out.
    ///
    /// The ioctl of the same purpose asks for a privilege over the whole machine, this one only for
    /// one over the network namespace.
    pub(super) fn set_queue_length(&mut self, interface: u32, packets: u32) -> io::Result<()> {
        self.set_link(interface, IFLA_TXQLEN, packets)
    }

    fn set_link(&mut self, interface: u32, kind: u16, value: u32) -> io::Result<()> {
        // struct ifinfomsg: family, padding, type, index, flags, change
        let mut body = vec![0; 4];
        body.extend_from_slice(&interface.to_ne_bytes());
        body.extend_from_slice(&[0; 8]);
        attribute(&mut body, kind, &value.to_ne_bytes());
        self.request(RTM_NEWLINK, 0, &body)
    }

    /// Sets how long super-packets are that an interface hands over, in bytes.
    pub(super) fn set_gso_max_size(&mut self, interface: u32, bytes: u32) -> io::Result<()> {
        self.set_link(interface, IFLA_GSO_MAX_SIZE, bytes)
    }

    /// Gives an interface an address with its subnet.
    pub(super) fn add_address(&mut self, interface: u32, address: IpNet) -> io::Result<()> {
        let mut body = vec![
            family(address.addr()),
            address.prefix_len(),
            0,
            RT_SCOPE_UNIVERSE,
        ];
        body.extend_from_slice(&interface.to_ne_bytes());
        attribute(&mut body, IFA_LOCAL, &octets(address.addr()));
        attribute(&mut body, IFA_ADDRESS, &octets(address.addr()));
        self.request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &body)
    }

    /// Routes a prefix to an interface.
    pub(super) fn add_route(&mut self, interface: u32, prefix: IpNet) -> io::Result<()> {
        self.request(
            RTM_NEWROUTE,
            NLM_F_CREATE | NLM_F_EXCL,
            &route(interface, prefix),
        )
    }

    pub(super) fn remove_route(&mut self, interface: u32, prefix: IpNet) -> io::Result<()> {
        self.request(RTM_DELROUTE, 0, &route(interface, prefix))
    }

    fn request(&mut self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = Vec::with_capacity(16 + body.len());
        message.extend_from_slice(&((16 + body.len()) as u32).to_ne_bytes());
        message.extend_from_slice(&kind.to_ne_bytes());
        message.extend_from_slice(&(NLM_F_REQUEST | NLM_F_ACK | flags).to_ne_bytes());
        message.extend_from_slice(&self.sequence.to_ne_bytes());
        message.extend_from_slice(&0u32.to_ne_bytes());
        message.extend_from_slice(body);
        let kernel = SocketAddrNetlink::new(0, 0);
        rustix::net::sendto(&self.socket, &message, SendFlags::empty(), &kernel)?;
        self.acknowledgement()
    }

    /// Reads until the answer to the last request.
    fn acknowledgement(&self) -> io::Result<()> {
        let mut buffer = [0u8; 4096];
        loop {
            let (_, length) = rustix::net::recv(&self.socket, &mut buffer, RecvFlags::empty())?;
            if let Some(code) = acknowledged(&buffer[..length.min(buffer.len())], self.sequence) {
                return match code {
                    0 => Ok(()),
                    code => Err(io::Error::from_raw_os_error(code.saturating_neg())),
                };
            }
        }
    }
}

/// Finds the answer to a request among netlink messages: 0 or a negative error number.
fn acknowledged(mut messages: &[u8], sequence: u32) -> Option<i32> {
    while let Some(header) = messages.first_chunk::<16>() {
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let kind = u16::from_ne_bytes([header[4], header[5]]);
        let number = u32::from_ne_bytes([header[8], header[9], header[10], header[11]]);
        if kind == NLMSG_ERROR && number == sequence {
            return messages
                .get(16..20)?
                .first_chunk()
                .map(|code| i32::from_ne_bytes(*code));
        }
        messages = messages.get(length.next_multiple_of(4).max(16)..)?;
    }
    None
}

fn route(interface: u32, prefix: IpNet) -> Vec<u8> {
    let scope = match prefix {
        IpNet::V4(_) => RT_SCOPE_LINK,
        IpNet::V6(_) => RT_SCOPE_UNIVERSE,
    };
    let mut body = vec![
        family(prefix.addr()),
        prefix.prefix_len(),
        0,
        0,
        RT_TABLE_MAIN,
        RTPROT_STATIC,
        scope,
        RTN_UNICAST,
    ];
    body.extend_from_slice(&0u32.to_ne_bytes());
    attribute(&mut body, RTA_DST, &octets(prefix.network()));
    attribute(&mut body, RTA_OIF, &interface.to_ne_bytes());
    body
}

fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    body.extend_from_slice(&((4 + value.len()) as u16).to_ne_bytes());
    body.extend_from_slice(&kind.to_ne_bytes());
    body.extend_from_slice(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

fn family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => AF_INET,
        IpAddr::V6(_) => AF_INET6,
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_acknowledgement_is_found_behind_other_messages() {
        let message = |kind: u16, sequence: u32, code: i32| {
            let mut bytes = 36u32.to_ne_bytes().to_vec();
            bytes.extend_from_slice(&kind.to_ne_bytes());
            bytes.extend_from_slice(&[0; 2]);
            bytes.extend_from_slice(&sequence.to_ne_bytes());
            bytes.extend_from_slice(&[0; 4]);
            bytes.extend_from_slice(&code.to_ne_bytes());
            bytes.resize(36, 0);
            bytes
        };
        let mut stream = message(NLMSG_ERROR, 1, -17);
        stream.extend(message(99, 2, 0));
        stream.extend(message(NLMSG_ERROR, 2, -13));
        assert_eq!(acknowledged(&stream, 2), Some(-13));
        assert_eq!(acknowledged(&stream, 3), None);
    }

    proptest! {
        #[test]
        fn any_answer_is_read_to_its_end(bytes: Vec<u8>) {
            let _ = acknowledged(&bytes, 1);
        }
    }
}
