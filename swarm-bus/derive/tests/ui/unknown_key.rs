#[derive(swarm_bus::Topic)]
#[topic("lab.temperature", payload = u32, durable = true)]
struct Temperature;

fn main() {}
