#[derive(swarm_bus::Topic)]
#[topic("lab.temperature", payload = u32, delivery = durable)]
struct Temperature;

fn main() {}
