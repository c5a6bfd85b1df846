#[derive(swarm_bus::Topic)]
#[topic("lab.temperature", payload = u32, delivery)]
struct Temperature;

fn main() {}
