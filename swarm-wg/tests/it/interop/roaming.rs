//! One moves, and the other follows.

use std::time::Duration;

use swarm_wg::Event;

use super::{Begins, Terms, at, with_each};
use crate::foreign::Program;
use crate::lab::{Family, Side, endpoint};
use crate::programs::until;

#[test]
fn others_are_followed_to_another_port_another_address_and_another_family() {
    let test = "others_are_followed_to_another_port_another_address_and_another_family";
    with_each(test, |lab, program| {
        let (ours, mut theirs) = Terms::new(Begins::Ours).meet(lab, program);
        lab.assert_pings();
        let stats = || ours.peer(&theirs.key).unwrap();
        let from = stats().endpoint;
        assert_eq!(from, Some(theirs.at(Family::V4)));

        let (key, events) = (theirs.key, ours.events());
        let now_at = || ours.peer(&key).unwrap().endpoint;
        // gotatun is silent for good after some changes of its port, so it keeps it.
        let mut port = from.unwrap().port();
        if program != Program::Gotatun {
            port = 50_001;
            theirs.listen(port);
            assert!(lab.ping(Side::B, Side::A.inner()), "{program:?}");
            let to = endpoint(Side::B, port);
            assert_eq!(now_at(), Some(to), "{program:?}");
            let moved = Event::EndpointMoved {
                peer: key,
                from,
                to,
            };
            assert!(std::iter::from_fn(|| events.try_recv()).any(|event| event == moved));
        }

        lab.ip(Side::B, &["addr", "del", "192.0.2.2/24", "dev", "cable"]);
        lab.ip(Side::B, &["addr", "add", "192.0.2.60/24", "dev", "cable"]);
        if program != Program::Gotatun {
            // Their sockets keep to the address that is gone: wireguard-go's until it begins a
            // handshake 15 seconds later, boringtun's for good.
            theirs.listen(50_001);
        }
        let found = until(Duration::from_secs(40), || {
            lab.ping(Side::B, Side::A.inner())
        });
        let drops = ours.metrics().drops;
        let drops: Vec<_> = drops.iter().filter(|(_, count)| *count > 0).collect();
        assert!(found, "{program:?}: {drops:?}, {}", theirs.said());
        let now = now_at().unwrap();
        assert_eq!(now.to_string(), format!("192.0.2.60:{port}"), "{program:?}");
        assert!(lab.ping(Side::A, Side::B.inner()), "{program:?}");
    });
}

#[test]
fn others_follow_us_to_another_port_another_address_and_another_family() {
    let test = "others_follow_us_to_another_port_another_address_and_another_family";
    with_each(test, |lab, program| {
        let (ours, theirs) = Terms::new(Begins::Ours).meet(lab, program);
        lab.assert_pings();
        let port = lab.inside(Side::A, || ours.set_listen_port(0)).unwrap();
        assert!(lab.ping(Side::A, Side::B.inner()), "{program:?}");
        assert_eq!(theirs.endpoint(), Some(endpoint(Side::A, port)));
        lab.assert_pings();

        lab.ip(Side::A, &["addr", "del", "192.0.2.1/24", "dev", "cable"]);
        lab.ip(Side::A, &["addr", "add", "192.0.2.50/24", "dev", "cable"]);
        assert!(lab.ping(Side::A, Side::B.inner()), "{program:?}");
        let now = theirs.endpoint().unwrap();
        assert_eq!(now.to_string(), format!("192.0.2.50:{port}"));
        assert!(lab.ping(Side::B, Side::A.inner()), "{program:?}");

        // From here on, they are called by their other family.
        ours.set_endpoint(&theirs.key, theirs.at(Family::V6))
            .unwrap();
        assert!(lab.ping(Side::A, Side::B.inner()), "{program:?}");
        assert_eq!(theirs.endpoint(), Some(at(&ours, Family::V6)));
        lab.assert_pings();
    });
}
