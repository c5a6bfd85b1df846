//! When a certificate is renewed: pure, for any clock.

use std::time::Duration;

use crate::{Certificate, Timestamp};

/// The first pause after a failure; it doubles with every further one.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);
/// The shortest pause between two attempts, however near the end is.
const SHORTEST_PAUSE: Duration = Duration::from_secs(10);
/// How many attempts the time that is left must have room for.
const ATTEMPTS_LEFT: u32 = 16;

/// When a certificate is renewed, and how long to wait after an attempt that failed.
///
/// It is due when 17/30 to 2/3 of its life are over: where between is decided by its serial number,
/// so that certificates that were issued together are not renewed together. A third of its life
/// is left then, for an authority that is away.
///
/// ```
/// # use std::time::Duration;
/// # use swarm_pki::{Certificate, Timestamp, enroll::RenewalSchedule};
/// # fn example(certificate: &Certificate, now: Timestamp) {
/// let schedule = RenewalSchedule::of(certificate);
/// if now >= schedule.due() {
///     // Ask for a new one. After the third failure in a row, ask again after:
///     let pause = schedule.pause(now, 3);
///     assert!(pause <= Duration::from_secs(120));
/// }
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenewalSchedule {
    due: Timestamp,
    end: Timestamp,
    /// Differs between certificates; 0 to 65,535.
    jitter: u16,
}

impl RenewalSchedule {
    /// Makes the schedule of a certificate.
    pub fn of(certificate: &Certificate) -> Self {
        Self::starting(certificate, certificate.not_before())
    }

    /// Makes the schedule of a certificate that was issued just now.
    ///
    /// The same as [`of`](Self::of), but for a life so short that most of it lies before the issuing,
    /// where the authority's allowance for slow clocks puts its beginning: then what is left
    /// counts as its life.
    pub fn issued_at(certificate: &Certificate, now: Timestamp) -> Self {
        let schedule = Self::of(certificate);
        if schedule.due <= now && now < schedule.end {
            Self::starting(certificate, now)
        } else {
            schedule
        }
    }

    fn starting(certificate: &Certificate, start: Timestamp) -> Self {
        let end = certificate.not_after();
        let jitter = match certificate.serial().as_bytes() {
            [.., high, low] => u16::from_be_bytes([*high, *low]),
            [low] => u16::from(*low),
            [] => 0,
        };
        let life = end.since(start);
        let early = life / 10 * u32::from(jitter) / (1 << 16);
        let due = start + (life * 2 / 3).saturating_sub(early);
        Self { due, end, jitter }
    }

    /// Returns when the renewal is due.
    pub fn due(&self) -> Timestamp {
        self.due
    }

    /// Returns when the certificate ends.
    pub fn end(&self) -> Timestamp {
        self.end
    }

    /// Returns how long to wait after so many failures in a row: 30 s, doubled each time up to an
    /// hour, but never so long that less than 16 attempts fit into the time that is left; at least
    /// 10 s.
    ///
    /// Past the end it goes on: it may be the clock that is wrong.
    pub fn pause(&self, now: Timestamp, failures: u32) -> Duration {
        let doubled = 1 << failures.saturating_sub(1).min(7);
        let mut pause = (FIRST_PAUSE * doubled).min(LONGEST_PAUSE);
        if now <= self.end {
            pause = pause.min(self.end.since(now) / ATTEMPTS_LEFT);
        }
        // Up to a quarter shorter: those whom one outage has brought into step drift apart.
        let spread = self.jitter.rotate_left(failures % 16);
        let pause = pause - pause / 4 * u32::from(spread) / (1 << 16);
        pause.max(SHORTEST_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn schedule(start: u64, life: u64, jitter: u16) -> RenewalSchedule {
        use crate::{Authority, KeyAlgorithm, PrivateKey, SerialNumber, Validity};
        let key = PrivateKey::generate(KeyAlgorithm::P256).unwrap();
        let mut random = [0x40; 16];
        random[14..].copy_from_slice(&jitter.to_be_bytes());
        let validity = Validity {
            not_before: Timestamp::from_unix(start),
            not_after: Timestamp::from_unix(start + life),
        };
        let swarm = "fleet".parse().unwrap();
        let serial = SerialNumber::from_random(random);
        let root = Authority::create_root(&swarm, 1, key, serial, validity).unwrap();
        RenewalSchedule::of(root.certificate())
    }

    #[test]
    fn the_serial_number_spreads_renewals_over_a_tenth_of_the_life() {
        let latest = schedule(1_000, 30_000, 0);
        assert_eq!(latest.due(), Timestamp::from_unix(21_000));
        let earliest = schedule(1_000, 30_000, u16::MAX);
        assert_eq!(earliest.due(), Timestamp::from_unix(18_000));
        assert_eq!(earliest.end(), Timestamp::from_unix(31_000));
    }

    #[test]
    fn pauses_double_up_to_an_hour_and_shrink_towards_the_end() {
        let month = schedule(0, 30 * 86_400, 0);
        let pauses = [1, 2, 3, 7, 8, 40].map(|n| month.pause(month.due(), n).as_secs());
        assert_eq!(pauses, [30, 60, 120, 1_920, 3_600, 3_600]);
        let near = |left: u64| {
            month
                .pause(month.end() - Duration::from_secs(left), 40)
                .as_secs()
        };
        assert_eq!([near(16_000), near(1_600), near(1)], [1_000, 100, 10]);
        // The clock may have been set to next year by mistake.
        let wrong = month.end() + Duration::from_secs(86_400 * 365);
        assert_eq!(month.pause(wrong, 40).as_secs(), 3_600);
    }

    #[test]
    fn a_life_that_lies_behind_for_the_most_part_is_counted_from_the_issuing() {
        use crate::{Authority, KeyAlgorithm, PrivateKey, SerialNumber, Validity};
        let key = PrivateKey::generate(KeyAlgorithm::P256).unwrap();
        let now = Timestamp::from_unix(1_000_000);
        let (hour, minutes) = (Duration::from_secs(3_600), Duration::from_secs(20 * 60));
        let root = Authority::create_root(
            &"fleet".parse().unwrap(),
            1,
            key,
            SerialNumber::from_random([0; 16]),
            Validity::starting(now, minutes, hour),
        )
        .unwrap();
        assert!(RenewalSchedule::of(root.certificate()).due() < now);
        let schedule = RenewalSchedule::issued_at(root.certificate(), now);
        assert!(schedule.due() >= now + minutes * 17 / 30 - Duration::from_secs(1));
        assert!(schedule.due() <= now + minutes * 2 / 3);
    }

    proptest! {
        #[test]
        fn it_is_due_after_half_of_the_life_and_before_two_thirds(
            start in 0u64..4_000_000_000, life in 600u64..400_000_000, jitter: u16,
        ) {
            let schedule = schedule(start, life, jitter);
            let over = schedule.due().as_unix() - start;
            prop_assert!(over <= life * 2 / 3, "{over} of {life}");
            prop_assert!(over + 1 >= life * 17 / 30, "{over} of {life}");
        }

        #[test]
        fn an_authority_that_comes_back_in_time_is_asked_in_time(
            life in 3_600u64..40_000_000, jitter: u16, back in 0.0..0.95f64,
        ) {
            let schedule = schedule(0, life, jitter);
            let left = schedule.end().since(schedule.due());
            let back = schedule.due() + left.mul_f64(back);
            let (mut now, mut failures) = (schedule.due(), 0);
            while now < back {
                failures += 1;
                prop_assert!(failures < 100_000);
                now = now + schedule.pause(now, failures).max(Duration::from_secs(1));
            }
            prop_assert!(now <= schedule.end());
            // And not long after it is back.
            prop_assert!(now.since(back) <= LONGEST_PAUSE);
        }
    }
}
