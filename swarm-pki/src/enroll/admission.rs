//! How many connections may be open at once, in all and from one place.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// In all; more are closed as they come.
const MAX_CONNECTIONS: usize = 256;

/// From one IPv4 address, or one IPv6 network of 64 bits, which is what one site has. Enough for
/// machines that join together from behind one router.
const MAX_FROM_ONE_PLACE: usize = 32;

/// Counts open connections by where they come from: whoever floods from one place takes an eighth
/// of the server and no more.
#[derive(Debug, Clone, Default)]
pub(super) struct Admission(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    all: usize,
    /// Has no zeros, so it is never longer than `all`.
    by_place: HashMap<IpAddr, usize>,
}

/// The right to one open connection; ends when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    admission: Admission,
    place: IpAddr,
}

impl Admission {
    /// Lets a connection in, or not.
    pub(super) fn admit(&self, address: IpAddr) -> Option<Slot> {
        let place = place(address);
        let mut open = self.open();
        if open.all == MAX_CONNECTIONS {
            return None;
        }
        let here = open.by_place.entry(place).or_default();
        if *here == MAX_FROM_ONE_PLACE {
            return None;
        }
        *here += 1;
        open.all += 1;
        let admission = self.clone();
        Some(Slot { admission, place })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.admission.open();
        open.all -= 1;
        if let Some(here) = open.by_place.get_mut(&self.place) {
            *here -= 1;
            if *here == 0 {
                open.by_place.remove(&self.place);
            }
        }
    }
}

fn place(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & (u128::MAX << 64);
            Ipv6Addr::from_bits(network).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_takes_its_share_and_others_find_room() {
        let admission = Admission::default();
        let from = |text: &str| admission.admit(text.parse().unwrap());
        let held: Vec<Slot> = (0..MAX_FROM_ONE_PLACE)
            .map(|n| from(&format!("2001:db8::{n:x}")).unwrap())
            .collect();
        assert!(from("2001:db8::ffff:1").is_none());
        assert!(from("2001:db8:0:1::1").is_some());
        assert!(from("192.0.2.1").is_some());
        drop(held);
        assert!(from("2001:db8::1").is_some());
        assert!(admission.open().by_place.is_empty());
    }

    #[test]
    fn an_address_counts_the_same_in_both_of_its_forms() {
        let admission = Admission::default();
        let held: Vec<_> = (0..MAX_FROM_ONE_PLACE)
            .map(|_| {
                admission
                    .admit("::ffff:192.0.2.1".parse().unwrap())
                    .unwrap()
            })
            .collect();
        assert!(admission.admit("192.0.2.1".parse().unwrap()).is_none());
        drop(held);
    }

    #[test]
    fn all_places_together_take_no_more_than_there_is() {
        let admission = Admission::default();
        let from = |n: usize| admission.admit([10, 0, (n >> 8) as u8, n as u8].into());
        let held: Vec<Slot> = (0..1000).filter_map(from).collect();
        assert_eq!(held.len(), MAX_CONNECTIONS);
        drop(held);
        assert!(from(0).is_some());
    }
}
