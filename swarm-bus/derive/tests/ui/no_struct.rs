#[derive(swarm_bus::Topic)]
#[topic("lab.temperature", payload = u32)]
enum Temperature {
    Inside,
    Outside,
}

fn main() {}
