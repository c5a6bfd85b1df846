#[derive(swarm_bus::Topic)]
#[topic("lab.temperature", payload = u32)]
#[topic("lab.humidity", payload = u32)]
struct Temperature;

fn main() {}
