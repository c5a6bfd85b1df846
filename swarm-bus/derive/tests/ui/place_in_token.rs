#[derive(swarm_bus::Topic)]
#[topic("lab.room-{room}.temperature", payload = u32)]
struct Temperature {
    room: swarm_bus::Token,
}

fn main() {}
