#[derive(swarm_bus::Topic)]
#[topic("lab.{room}", payload = u32)]
struct Temperature(swarm_bus::Token);

fn main() {}
