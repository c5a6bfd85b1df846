#[derive(swarm_bus::Topic)]
#[topic("lab.temperature", payload = u32, reply_codec = swarm_bus::Raw)]
struct Temperature;

fn main() {}
