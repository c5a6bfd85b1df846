#[derive(swarm_bus::Topic)]
#[topic("lab.{room}.temperature", payload = u32)]
struct Temperature {
    room: swarm_bus::Token,
    probe: u16,
}

fn main() {}
