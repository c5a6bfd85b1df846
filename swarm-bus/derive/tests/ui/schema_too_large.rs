#[derive(swarm_bus::Topic)]
#[topic("lab.temperature", payload = u32, schema = 65536)]
struct Temperature;

fn main() {}
