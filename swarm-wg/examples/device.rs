//! A tunnel that `wg` and `ip` set up: `device IFNAME`, in the foreground.

use std::time::Duration;

use swarm_wg::{Tunnel, TunnelConfig};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args()
        .nth(1)
        .ok_or("the name of an interface is missing")?;
    let tunnel = Tunnel::start(TunnelConfig::bare(name.parse()?))?;
    while !tunnel.wait_closed(Duration::from_secs(3600)) {}
    Ok(())
}
