//! The lab: machines around a small simulated internet.
//!
//! ```text
//!   command0 203.0.113.10 ─┐                ┌─ edge1 198.51.100.18
//!                          ├── internet ────┤
//!      edge2 198.51.100.34 ┘   (routes)     └─ edge3 198.51.100.50
//! ```
//!
//! Every machine has a network of its own behind the internet's router, as if at another provider. The
//! addresses are those reserved for documentation (RFC 5737); the router knows no other, so that a packet to
//! anywhere else is refused and counted there.

use std::net::Ipv4Addr;

use crate::report::Failure;

use super::machine::Machine;

/// The router between all machines.
pub(super) struct Lab {
    internet: Machine,
}

impl Lab {
    /// Makes the internet, with nobody on it yet.
    pub(super) async fn new() -> Result<Self, Failure> {
        let internet = Machine::boot("internet").await?;
        internet
            .run("sh", &["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
            .await?;
        Ok(Self { internet })
    }

    /// Boots a machine and connects it: `address` is in a /28 whose first address is the router's.
    pub(super) async fn add_machine(
        &self,
        name: &'static str,
        address: Ipv4Addr,
    ) -> Result<Machine, Failure> {
        let machine = Machine::boot(name).await?;
        let router = Ipv4Addr::from((u32::from(address) & !0xf) + 1);
        let pid = machine.pid().to_string();
        let internet = &self.internet;
        internet
            .run(
                "ip",
                &[
                    "link", "add", name, "type", "veth", "peer", "name", "uplink", "netns", &pid,
                ],
            )
            .await?;
        internet
            .run("ip", &["addr", "add", &format!("{router}/28"), "dev", name])
            .await?;
        internet.run("ip", &["link", "set", name, "up"]).await?;
        machine
            .run(
                "ip",
                &["addr", "add", &format!("{address}/28"), "dev", "uplink"],
            )
            .await?;
        machine.run("ip", &["link", "set", "uplink", "up"]).await?;
        machine
            .run(
                "ip",
                &["route", "add", "default", "via", &router.to_string()],
            )
            .await?;
        Ok(machine)
    }

    /// Packets that some machine sent to an address which nobody declared.
    pub(super) async fn strays(&self) -> Result<u64, Failure> {
        let statistics = self.internet.run("cat", &["/proc/net/netstat"]).await?;
        column(&statistics, "IpExt:", "InNoRoutes").ok_or_else(|| {
            Failure::environment("the kernel does not count packets without a route")
        })
    }
}

/// Reads one number of /proc/net/netstat: a line of names, then a line of numbers, under the same prefix.
fn column(statistics: &str, prefix: &str, name: &str) -> Option<u64> {
    let mut lines = statistics.lines().filter(|line| line.starts_with(prefix));
    let position = lines
        .next()?
        .split_whitespace()
        .position(|field| field == name)?;
    lines.next()?.split_whitespace().nth(position)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::column;

    #[test]
    fn a_kernel_counter_is_read_by_its_name() {
        let text = "TcpExt: A B\nTcpExt: 1 2\nIpExt: InNoRoutes InOctets\nIpExt: 7 900\n";
        assert_eq!(column(text, "IpExt:", "InNoRoutes"), Some(7));
        assert_eq!(column(text, "IpExt:", "InOctets"), Some(900));
        assert_eq!(column(text, "IpExt:", "Missing"), None);
    }
}
