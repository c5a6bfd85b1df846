//! Many bytes, and packets of many sizes: ours are cut and joined in bulk, theirs are not.

use swarm_wg::core::DropReason;

use super::{Begins, Terms, assert_understood, with_each};
use crate::lab::{Lab, Side};

/// The largest payload of a datagram that needs no fragments: the MTU less the headers.
const LARGEST_V4: usize = 1420 - 28;
const LARGEST_V6: usize = 1420 - 48;

#[test]
fn streams_arrive_unchanged_both_ways_over_both_families() {
    let test = "streams_arrive_unchanged_both_ways_over_both_families";
    with_each(test, |lab, program| {
        let (ours, _theirs) = Terms::new(Begins::Ours).meet(lab, program);
        lab.assert_transfers(1 << 20);
        lab.assert_transfers(4 << 20);
        assert_understood(&ours, program);
        let drops = ours.metrics().drops;
        assert_eq!(drops.count(DropReason::SendFailed), 0, "{program:?}");
        assert_eq!(drops.count(DropReason::DeliverFailed), 0, "{program:?}");
    });
}

#[test]
fn streams_both_ways_at_once_arrive_unchanged() {
    let test = "streams_both_ways_at_once_arrive_unchanged";
    with_each(test, |lab, program| {
        let (ours, _theirs) = Terms::new(Begins::Theirs).meet(lab, program);
        assert!(lab.ping(Side::B, Side::A.inner()), "{program:?}");
        std::thread::scope(|scope| {
            for from in [Side::A, Side::B] {
                for to in [from.other().inner(), from.other().inner_v6()] {
                    scope.spawn(move || lab.transfer(from, to, 1 << 20));
                }
            }
        });
        assert_understood(&ours, program);
    });
}

#[test]
fn datagrams_of_every_length_arrive_unchanged_and_in_order() {
    let test = "datagrams_of_every_length_arrive_unchanged_and_in_order";
    with_each(test, |lab, program| {
        let (ours, _theirs) = Terms::new(Begins::Ours).meet(lab, program);
        assert!(lab.ping(Side::A, Side::B.inner()), "{program:?}");
        for from in [Side::A, Side::B] {
            every_length(lab, from);
            runs_of_one_length(lab, from);
            fragments(lab, from);
        }
        assert_understood(&ours, program);
    });
}

fn every_length(lab: &Lab, from: Side) {
    let (v4, v6) = (from.other().inner(), from.other().inner_v6());
    lab.datagrams(from, v4, &(1..=LARGEST_V4).collect::<Vec<_>>());
    lab.datagrams(from, v6, &(1..=LARGEST_V6).rev().collect::<Vec<_>>());
}

/// What is joined: datagrams of one length, and one that is shorter or longer.
fn runs_of_one_length(lab: &Lab, from: Side) {
    let lengths: Vec<_> = (0..16)
        .flat_map(|n| {
            let usual = [1200, 1000, 64, 1][n % 4];
            let last = [700, 1372, 63, 2][n % 4];
            std::iter::repeat_n(usual, 3 + n).chain([last])
        })
        .collect();
    lab.datagrams(from, from.other().inner(), &lengths);
    lab.datagrams(from, from.other().inner_v6(), &lengths);
}

fn fragments(lab: &Lab, from: Side) {
    lab.datagrams(from, from.other().inner(), &[3000; 8]);
    lab.datagrams(from, from.other().inner_v6(), &[3000; 8]);
}
