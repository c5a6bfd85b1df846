//! A tunnel for the command line: `tunnel wg0`, then `wg set wg0 …` and `ip address add …` as
//! with any other interface. Runs until it is killed, and says what happens to its peers.

use swarm_wg::{PrivateKey, Tunnel, TunnelConfig};

#[allow(clippy::print_stdout, reason = "a program for the command line")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut config = TunnelConfig::new(PrivateKey::generate()?);
    if let Some(name) = std::env::args().nth(1) {
        config.interface = name.parse()?;
    }
    let tunnel = Tunnel::start(config)?;
    println!("{}: {}", tunnel.interface(), tunnel.public_key());
    let events = tunnel.events();
    while let Ok(event) = events.recv() {
        println!("{event:?}");
    }
    Ok(())
}
