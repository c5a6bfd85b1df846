//! How many connections may be open at once, in all and from one place.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Counts open connections by where they come from, so that whoever floods from one place takes its
/// share and no more. A place is one IPv4 address, or one IPv6 network of 64 bits, which is what
/// one site has.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    open: Arc<Mutex<Open>>,
    most: usize,
    most_from_one_place: usize,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    /// Has no zeros, so it is never longer than `all`.
    by_place: HashMap<IpAddr, usize>,
}

/// The right to one open connection; ends when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    admission: Admission,
    place: IpAddr,
}

impl Admission {
    pub(crate) fn new(most: usize, most_from_one_place: usize) -> Self {
        Self {
            open: Arc::default(),
            most,
            most_from_one_place,
        }
    }

    /// Lets a connection in, or not.
    pub(crate) fn admit(&self, address: IpAddr) -> Option<Slot> {
        let place = place(address);
        let mut open = self.open();
        if open.all >= self.most {
            return None;
        }
        if open.by_place.get(&place).copied().unwrap_or_default() >= self.most_from_one_place {
            return None;
        }
        *open.by_place.entry(place).or_default() += 1;
        open.all += 1;
        let admission = self.clone();
        Some(Slot { admission, place })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
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
        let admission = Admission::new(256, 32);
        let from = |text: &str| admission.admit(text.parse().unwrap());
        let held: Vec<Slot> = (0..32)
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
        let admission = Admission::new(256, 32);
        let held: Vec<_> = (0..32)
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
        let admission = Admission::new(256, 32);
        let from = |n: usize| admission.admit([10, 0, (n >> 8) as u8, n as u8].into());
        let held: Vec<Slot> = (0..1000).filter_map(from).collect();
        assert_eq!(held.len(), 256);
        drop(held);
        assert!(from(0).is_some());
    }
}
