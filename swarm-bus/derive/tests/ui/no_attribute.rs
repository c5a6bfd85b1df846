#[derive(swarm_bus::Topic)]
struct Temperature;

fn main() {}
