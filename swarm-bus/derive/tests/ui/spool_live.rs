#[derive(swarm_bus::Topic)]
#[topic("lab.temperature", payload = u32, offline = spool)]
struct Temperature;

fn main() {}
