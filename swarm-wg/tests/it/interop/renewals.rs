//! Sessions renewed while packets pass.

use std::time::Duration;

use swarm_wg::{Event, PresharedKey};

use super::{Begins, Terms, assert_understood, with_each};
use crate::foreign::Program;
use crate::lab::{Lab, Side};
use crate::programs::wait;

/// Pings without a pause while a session is renewed, with transfers before and after.
fn survive_a_renewal(lab: &Lab, program: Program, begins: Begins) {
    let what = format!("{program:?}, {begins:?} begins");
    let preshared = match begins {
        Begins::Ours => Some(PresharedKey::generate().unwrap()),
        Begins::Theirs => None,
    };
    let terms = Terms {
        preshared,
        ..Terms::new(begins)
    };
    let (ours, theirs) = terms.meet(lab, program);
    let events = ours.events();
    let (first, second) = (begins.side(), begins.side().other());
    assert!(lab.ping(first, second.inner()), "{what}");
    lab.assert_transfers(1 << 20);

    // A session is renewed after 120 s; the pings go on past it, in both directions.
    let ping = |side: Side| {
        let to = side.other().inner().to_string();
        lab.spawn(
            side,
            "ping",
            &["-q", "-n", "-i", "0.2", "-c", "640", "-W", "2", &to],
        )
    };
    for child in [ping(first), ping(second)] {
        let output = wait(child, Duration::from_secs(160));
        let text = String::from_utf8_lossy(&output.stdout);
        let received = text
            .split(", ")
            .find_map(|part| part.strip_suffix(" received"))
            .and_then(|count| count.parse::<u32>().ok());
        assert!(received.is_some_and(|count| count >= 638), "{what}: {text}");
    }
    let completed = std::iter::from_fn(|| events.try_recv())
        .filter(|event| *event == Event::HandshakeCompleted { peer: theirs.key })
        .count();
    assert!(completed >= 2, "{what}: {completed} handshakes");
    lab.assert_transfers(1 << 20);
    let stats = ours.peer(&theirs.key).unwrap();
    assert!(
        stats.rx_bytes > 4 << 20 && stats.tx_bytes > 4 << 20,
        "{what}: {stats:?}"
    );
    assert_understood(&ours, program);
}

#[test]
fn sessions_survive_their_renewal_whoever_began() {
    let test = "sessions_survive_their_renewal_whoever_began";
    with_each(test, |lab, program| {
        let Some(other) = Lab::new(test) else { return };
        std::thread::scope(|scope| {
            scope.spawn(|| survive_a_renewal(lab, program, Begins::Ours));
            scope.spawn(|| survive_a_renewal(&other, program, Begins::Theirs));
        });
    });
}
