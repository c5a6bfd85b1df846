#[derive(swarm_bus::Topic)]
#[topic("lab.temperature", payload = u32, codec = Yaml)]
struct Temperature;

fn main() {}
