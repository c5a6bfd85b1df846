//! Several workers, and a helper for each: flows keep their order, and the numbers add up.

use std::time::Duration;

use swarm_wg::{Tunnel, TunnelConfig};

use crate::lab::{Lab, Side, endpoint, peer};

/// A pair of tunnels that know each other, with so many workers each.
fn pair(lab: &Lab, workers: u16) -> (Tunnel, Tunnel) {
    let config = |side| {
        let mut config: TunnelConfig = lab.config(side);
        config.workers = Some(workers.try_into().unwrap());
        config
    };
    let a = lab.start(Side::A, config(Side::A));
    let b = lab.start(Side::B, config(Side::B));
    for (this, other, side) in [(&a, &b, Side::B), (&b, &a, Side::A)] {
        let mut peer = peer(other, side);
        peer.endpoint = Some(endpoint(side, other.listen_port()));
        this.add_peer(peer).unwrap();
    }
    (a, b)
}

#[test]
fn many_flows_both_ways_at_once_arrive_whole_whatever_the_number_of_workers() {
    let test = "many_flows_both_ways_at_once_arrive_whole_whatever_the_number_of_workers";
    for workers in [1, 3] {
        let Some(lab) = Lab::new(test) else { return };
        let (a, b) = pair(&lab, workers);
        lab.assert_pings();
        std::thread::scope(|scope| {
            for side in [Side::A, Side::B] {
                for to in [side.other().inner(), side.other().inner_v6()] {
                    let lab = &lab;
                    scope.spawn(move || lab.transfer(side, to, 16 << 20));
                    scope.spawn(move || lab.transfer(side, to, 16 << 20));
                }
            }
        });
        for (this, other) in [(&a, &b), (&b, &a)] {
            let stats = this.peer(&other.public_key()).unwrap();
            assert!(stats.rx_bytes > 64 << 20, "{workers}: {stats:?}");
        }
        lab.assert_pings();
    }
}

/// For how many nanoseconds the helpers of an interface have had a processor.
fn helped(interface: &str) -> u64 {
    let name = format!("{interface}-help");
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let of_task = |task: std::io::Result<std::fs::DirEntry>| {
        let task = task.ok()?.path();
        let comm = std::fs::read_to_string(task.join("comm")).ok()?;
        // The kernel keeps fifteen bytes of a name.
        if comm.trim_end() != &name[..name.len().min(15)] {
            return None;
        }
        let times = std::fs::read_to_string(task.join("schedstat")).ok()?;
        times.split(' ').next()?.parse::<u64>().ok()
    };
    tasks.filter_map(of_task).sum()
}

#[test]
fn a_flow_keeps_its_order_while_a_helper_carries_it_too() {
    let test = "a_flow_keeps_its_order_while_a_helper_carries_it_too";
    let Some(lab) = Lab::new(test) else { return };
    let (a, _b) = pair(&lab, 1);
    lab.assert_pings();
    let before = helped(a.interface());
    for length in [16, 1200] {
        let arrived = lab.flood(Side::A, 100_000, length);
        assert!(arrived > 1000, "{arrived} of {length} bytes");
    }
    let nanoseconds = helped(a.interface()) - before;
    assert!(nanoseconds > 1_000_000, "{nanoseconds} ns");
}

#[test]
fn the_numbers_come_every_so_often_and_end_with_the_tunnel() {
    let Some(lab) = Lab::new("the_numbers_come_every_so_often_and_end_with_the_tunnel") else {
        return;
    };
    let (a, b) = pair(&lab, 1);
    let mut watch = a.watch(Duration::from_millis(50));
    let first = watch.next().unwrap();
    assert_eq!(first.peers[0].rx_bytes, 0);
    lab.assert_pings();
    let grown = watch
        .by_ref()
        .take(40)
        .any(|metrics| metrics.peers[0].rx_bytes > 0);
    assert!(grown);
    let interface = a.interface().to_owned();
    drop(a);
    assert!(!lab.ip(Side::A, &["link", "show"]).contains(&interface));
    assert!(watch.next().is_none());
    drop(b);
}
