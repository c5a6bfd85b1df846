#[derive(swarm_bus::Topic)]
#[topic("lab.temperature", payload = u32, payload = u64)]
struct Temperature;

fn main() {}
