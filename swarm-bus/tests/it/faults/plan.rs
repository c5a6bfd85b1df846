//! Which faults come, in which order: pure, the same for the same seed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// SplitMix64 (Steele, Lea and Flood, 2014): enough chance for tests, the same everywhere.
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `0` to below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Says yes so many times in a thousand.
    pub(super) fn per_mille(&mut self, times: u64) -> bool {
        self.below(1000) < times
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }
}

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    KillServer,
    KillLeader,
    FullServer,
    FullSpool,
    Freeze,
    HalfOpen,
    Cut,
    Outage,
    LongOutage,
    Slow,
    KillPublisher,
    KillConsumer,
    JumpClock,
}

/// Which ways of a link fall silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ways {
    ToServer,
    ToClient,
    Both,
}

/// One fault, and how long it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The server, or one of several, ends as `kill -9` does, and starts over its store.
    KillServer { down: Duration },
    /// That one of several which leads a stream.
    KillLeader { down: Duration },
    /// The disk of a server has no room.
    FullServer { time: Duration },
    /// The disk of a spool has none.
    FullSpool { spool: usize, time: Duration },
    /// A link goes silent without being closed; what was sent arrives afterwards, however late.
    Freeze {
        link: Option<usize>,
        ways: Ways,
        time: Duration,
    },
    /// A link is closed at the server, and the client is not told.
    HalfOpen { link: Option<usize> },
    /// A link is closed at both ends.
    Cut { link: Option<usize> },
    /// Acknowledgements do not arrive, then the line of a publisher is gone for a time.
    Outage { link: usize, time: Duration },
    /// That of a spool, for longer than its stream knows ids; what is next comes meanwhile.
    LongOutage { link: usize },
    /// What is sent takes longer.
    Slow {
        link: Option<usize>,
        delay: Duration,
        time: Duration,
    },
    /// A process with a spool ends as `kill -9` does, and another opens the spool.
    KillPublisher,
    /// All readers end in the middle of a message, and others go on with what these saved.
    KillConsumer,
    /// The wall clock of a spool jumps, by so many seconds.
    JumpClock { spool: usize, by: i64 },
}

impl Fault {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::KillServer { .. } => Kind::KillServer,
            Self::KillLeader { .. } => Kind::KillLeader,
            Self::FullServer { .. } => Kind::FullServer,
            Self::FullSpool { .. } => Kind::FullSpool,
            Self::Freeze { .. } => Kind::Freeze,
            Self::HalfOpen { .. } => Kind::HalfOpen,
            Self::Cut { .. } => Kind::Cut,
            Self::Outage { .. } => Kind::Outage,
            Self::LongOutage { .. } => Kind::LongOutage,
            Self::Slow { .. } => Kind::Slow,
            Self::KillPublisher => Kind::KillPublisher,
            Self::KillConsumer => Kind::KillConsumer,
            Self::JumpClock { .. } => Kind::JumpClock,
        }
    }
}

/// Which faults come, one after another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) faults: Vec<Fault>,
}

impl Plan {
    /// Makes a plan with so many faults of each kind, for so many links and spools.
    pub(super) fn new(seed: u64, counts: &[(Kind, usize)], links: u64, spools: u64) -> Self {
        let mut chance = Chance::new(seed);
        let mut kinds: Vec<Kind> = counts
            .iter()
            .flat_map(|(kind, count)| std::iter::repeat_n(*kind, *count))
            .collect();
        for at in (1..kinds.len()).rev() {
            kinds.swap(at, chance.below(at as u64 + 1) as usize);
        }
        let mut faults: Vec<_> = kinds
            .into_iter()
            .map(|kind| fault(kind, &mut chance, links, spools))
            .collect();
        // Forwards, backwards, …
        let jumps = faults.iter_mut().filter_map(|fault| match fault {
            Fault::JumpClock { by, .. } => Some(by),
            _ => None,
        });
        for (number, by) in jumps.enumerate() {
            *by *= 1 - 2 * (number as i64 % 2);
        }
        arrange_outages(&mut faults);
        Self { seed, faults }
    }

    pub(super) fn counts(&self) -> BTreeMap<Kind, usize> {
        let mut counts = BTreeMap::new();
        for fault in &self.faults {
            *counts.entry(fault.kind()).or_default() += 1;
        }
        counts
    }
}

/// Gives each line its outage, and lets those come first that last while others come.
fn arrange_outages(faults: &mut [Fault]) {
    faults.sort_by_key(|fault| fault.kind() != Kind::LongOutage);
    let (mut short, mut long) = (0, 0);
    for fault in faults.iter_mut() {
        match fault {
            Fault::Outage { link, .. } => {
                *link = short % 2;
                short += 1;
            }
            Fault::LongOutage { link } => {
                *link = 2 + long % 3;
                long += 1;
            }
            _ => {}
        }
    }
    // A process that dies meanwhile leaves a spool behind in which something waits.
    let soon = long + 2;
    let kill = faults
        .iter()
        .position(|fault| *fault == Fault::KillPublisher);
    if let Some(kill) = kill.filter(|kill| *kill > soon) {
        faults.swap(kill, soon);
    }
}

fn fault(kind: Kind, chance: &mut Chance, links: u64, spools: u64) -> Fault {
    // One of the links, or all of them at once.
    let link = |chance: &mut Chance| match chance.below(links + 1) {
        all if all == links => None,
        one => Some(one as usize),
    };
    match kind {
        Kind::KillServer => Fault::KillServer {
            down: chance.millis(20, 500),
        },
        Kind::KillLeader => Fault::KillLeader {
            down: chance.millis(200, 3000),
        },
        Kind::FullServer => Fault::FullServer {
            time: chance.millis(300, 800),
        },
        Kind::FullSpool => Fault::FullSpool {
            spool: chance.below(spools) as usize,
            time: chance.millis(200, 600),
        },
        Kind::Freeze => Fault::Freeze {
            link: link(chance),
            ways: [Ways::ToServer, Ways::ToClient, Ways::Both][chance.below(3) as usize],
            // Shorter and longer than what a client takes for dead.
            time: chance.millis(300, 2500),
        },
        Kind::HalfOpen => Fault::HalfOpen { link: link(chance) },
        Kind::Cut => Fault::Cut { link: link(chance) },
        Kind::Outage => Fault::Outage {
            // Which one: see `arrange_outages`.
            link: 0,
            // Longer than a publisher waits.
            time: chance.millis(2200, 2800),
        },
        Kind::LongOutage => Fault::LongOutage { link: 2 },
        Kind::Slow => Fault::Slow {
            link: link(chance),
            delay: chance.millis(2, 40),
            time: chance.millis(300, 900),
        },
        Kind::KillPublisher => Fault::KillPublisher,
        Kind::KillConsumer => Fault::KillConsumer,
        Kind::JumpClock => Fault::JumpClock {
            spool: chance.below(spools) as usize,
            by: 60 + chance.below(3 * 3600) as i64,
        },
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}={}", super::SEED, self.seed)?;
        for (number, fault) in self.faults.iter().enumerate() {
            writeln!(f, "  {number:2} {fault:?}")?;
        }
        Ok(())
    }
}

#[test]
fn the_same_seed_is_the_same_plan_and_each_kind_comes_as_often_as_told() {
    let counts = [(Kind::KillServer, 7), (Kind::Freeze, 9), (Kind::Cut, 1)];
    let plan = Plan::new(5, &counts, 4, 2);
    assert_eq!(plan, Plan::new(5, &counts, 4, 2));
    assert_ne!(plan.faults, Plan::new(6, &counts, 4, 2).faults);
    assert_eq!(plan.counts(), BTreeMap::from(counts));
    let links = plan.faults.iter().filter_map(|fault| match fault {
        Fault::Freeze { link, .. } | Fault::Cut { link } => *link,
        _ => None,
    });
    assert!(links.max() < Some(4));
}

#[test]
fn each_spool_is_without_a_line_while_the_other_faults_come() {
    let counts = [
        (Kind::Cut, 30),
        (Kind::LongOutage, 3),
        (Kind::Outage, 2),
        (Kind::KillPublisher, 1),
    ];
    let faults = Plan::new(5, &counts, 4, 2).faults;
    assert_eq!(
        faults[..3],
        [2, 3, 4].map(|link| Fault::LongOutage { link })
    );
    assert!(faults[3..6].contains(&Fault::KillPublisher));
    let outages = faults.iter().filter_map(|fault| match fault {
        Fault::Outage { link, .. } => Some(*link),
        _ => None,
    });
    assert_eq!(outages.collect::<Vec<_>>(), [0, 1]);
}
