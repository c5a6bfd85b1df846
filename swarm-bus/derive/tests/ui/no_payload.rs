#[derive(swarm_bus::Topic)]
#[topic("lab.temperature", delivery = stored)]
struct Temperature;

fn main() {}
