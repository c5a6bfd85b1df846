#[derive(swarm_bus::Topic)]
#[topic("lab.temperature", payload = Reading)]
struct Temperature;

fn main() {}
