#[derive(swarm_bus::Topic)]
#[topic("lab.{room}", payload = u32)]
struct Temperature<R> {
    room: R,
}

fn main() {}
