use crate::rig::{Rig, uri};
use swarm_bus::monitor::{Connz, Jsz, Varz};
use swarm_bus::permissions::Role;
use swarm_bus::topics::mesh_streams;

#[tokio::test]
async fn the_monitoring_of_a_real_server_becomes_figures() {
    let Some(rig) = Rig::start("monitor::real", &[("hub", Role::Hub)]) else {
        return;
    };
    let hub = rig.client("hub").await;
    for stream in mesh_streams() {
        hub.ensure_stream(&stream).await.unwrap();
    }

    let varz = Varz::parse(&rig.monitor("/varz")).unwrap();
    assert_eq!((varz.connections, varz.server_name.as_str()), (1, "rig"));
    assert!(varz.in_msgs >= 6 && varz.mem > 1_000_000);
    let connections = varz.metrics();
    let connections = connections
        .iter()
        .find(|m| m.name == "nats_varz_connections");
    assert_eq!(connections.unwrap().value, 1.0);

    let connz = Connz::parse(&rig.monitor("/connz?auth=1")).unwrap();
    assert!(connz.is_complete());
    let user = uri("hub");
    let own: Vec<_> = connz.of_user(&user).collect();
    assert_eq!(own.len(), 1);
    assert_eq!(own[0].name, "hub");
    assert!(own[0].rtt().is_some());

    let jsz = Jsz::parse(&rig.monitor("/jsz?streams=1")).unwrap();
    assert_eq!(jsz.streams, mesh_streams().len() as u64);
    let names: Vec<_> = jsz.stream_states().map(|(_, name, _)| name).collect();
    assert!(names.contains(&"SWARM_EVENTS"));
    let metrics = jsz.metrics();
    assert!(metrics.iter().any(|m| m.name == "nats_jsz_stream_messages"));
}
