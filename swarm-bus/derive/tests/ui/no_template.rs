#[derive(swarm_bus::Topic)]
#[topic(payload = u32)]
struct Temperature;

fn main() {}
