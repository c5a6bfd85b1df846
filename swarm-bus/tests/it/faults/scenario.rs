//! Publishing through the faults of a plan, and the account.

use super::consume::{Application, Tally, word};
use super::disk::Disk;
use super::ledger::Finding;
use super::plan::{Kind, Plan};
use super::process::{self, Publisher};
use super::proxy::Proxy;
use super::publish::{FULL_DISK, Yard, many_at_a_time, one_by_one, put};
use super::world::{World, of};
use super::{LAB, Sample, Spooled, TRUNK, WINDOW, node};
use crate::rig::SOON;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};
use swarm_bus::Topic;
use swarm_bus::client::Client;
use swarm_bus::spool::{Clock, Drain, DrainOptions, Limits, LossReason, Order, Spool};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// A line for each publisher, and one for the application.
pub(super) const LINKS: u64 = 6;
/// The spools of this process.
pub(super) const SPOOLS: u64 = 2;
const APPLICATION: usize = 5;
/// How long all may take to come to rest when the faults are over.
const REST: Duration = Duration::from_secs(180);
/// How long the application may find nothing that it has not taken.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was done.
pub(super) struct Report {
    pub(super) faults: usize,
    pub(super) messages: u32,
}

pub(super) fn drain_options(order: Order) -> DrainOptions {
    let mut options = DrainOptions::default();
    options.streams = vec![(Spooled::any().pattern().clone(), TRUNK)];
    options.timeout = Duration::from_secs(2);
    options.duplicate_window = WINDOW;
    options.order = order;
    options
}

/// A spool of this process, on a disk and by a clock of its own.
pub(super) struct Store {
    spool: Spool,
    drain: Option<Drain>,
    pub(super) disk: Option<Disk>,
    _directory: TempDir,
    /// By how many seconds its clock is wrong.
    pub(super) wrong: Arc<AtomicI64>,
}

impl Store {
    #[allow(
        clippy::disallowed_methods,
        reason = "a clock that is wrong begins with one that is not"
    )]
    fn open(client: Client, order: Order) -> Self {
        let (disk, directory) = (Disk::new(48), TempDir::new().unwrap());
        let path = match &disk {
            Some(disk) => disk.path("files/spool"),
            None => directory.path().join("spool"),
        };
        let wrong = Arc::new(AtomicI64::new(0));
        let clock = Clock::new({
            let wrong = Arc::clone(&wrong);
            move || {
                let by = wrong.load(Relaxed);
                let away = Duration::from_secs(by.unsigned_abs());
                match by < 0 {
                    true => SystemTime::now() - away,
                    false => SystemTime::now() + away,
                }
            }
        });
        let mut limits = Limits::default();
        limits.segment_bytes = 1 << 20;
        let spool = Spool::open_by(clock, path, limits).unwrap();
        let drain = spool.drain(client, drain_options(order)).unwrap();
        Self {
            spool,
            drain: Some(drain),
            disk,
            _directory: directory,
            wrong,
        }
    }
}

pub(super) struct Scenario {
    pub(super) world: World,
    pub(super) yard: Arc<Yard>,
    pub(super) proxies: Vec<Proxy>,
    pub(super) stores: Vec<Store>,
    /// Until it has ended.
    pub(super) process: Option<Publisher>,
    applications: Vec<Arc<Application>>,
    readers: Vec<JoinHandle<()>>,
    /// That of the readers.
    reading: Option<Client>,
    pub(super) keeper: Client,
    seed: u64,
}

/// Runs a plan; each publisher publishes so many messages.
#[allow(
    clippy::print_stdout,
    reason = "the plan and the figures are to be seen"
)]
pub(super) async fn run(world: World, plan: Plan, quotas: [u32; 5]) -> Report {
    let began = Instant::now();
    println!("{plan}");
    let keeper = world.furnish(quotas.len() as u8).await;
    let yard = Yard::new(2 * plan.faults.len() as u64);
    let mut proxies = Vec::new();
    for _ in 0..LINKS {
        proxies.push(Proxy::start(&world.ports()).await);
    }
    let client = |number: u8| {
        let name = node(number);
        let ports = &proxies[usize::from(number)].ports;
        Client::start(world.options(name.as_str(), ports))
    };
    // One of several servers that changes its leader may take a message and refuse one before it.
    let second = match world.rigs.len() {
        1 => Order::Pipelined,
        _ => Order::Strict,
    };
    let stores = vec![
        Store::open(client(2), Order::Strict),
        Store::open(client(3), second),
    ];
    let [a, b, c, d, e] = quotas;
    let publishers = [
        tokio::spawn(one_by_one(Arc::clone(&yard), client(0), 0, a, plan.seed)),
        tokio::spawn(many_at_a_time(
            Arc::clone(&yard),
            client(1),
            1,
            b,
            plan.seed,
        )),
        tokio::spawn(put(Arc::clone(&yard), stores[0].spool.clone(), 2, c, 1)),
        tokio::spawn(put(Arc::clone(&yard), stores[1].spool.clone(), 3, d, 64)),
    ];
    let process = &proxies[usize::from(process::NUMBER)];
    let process = Publisher::start(&world.rigs[0], &process.ports, e);
    let tally = Arc::new(Tally::default());
    let applications = (0..quotas.len() as u8)
        .map(|publisher| Application::new(&yard, publisher, &tally))
        .collect();
    let mut scenario = Scenario {
        world,
        yard,
        proxies,
        stores,
        process: Some(process),
        applications,
        readers: Vec::new(),
        reading: None,
        keeper,
        seed: plan.seed,
    };
    scenario.read();
    for (number, fault) in plan.faults.iter().enumerate() {
        scenario.hand_out();
        scenario.progress(quotas).await;
        let at = began.elapsed();
        scenario.inject(*fault).await;
        println!(
            "{:>6.2} s {number:2} {fault:?} {:.2?}",
            at.as_secs_f64(),
            began.elapsed() - at
        );
    }
    let faults_over = began.elapsed();
    scenario.rest(publishers).await;
    let mut findings = scenario.yard.ledger.lock().unwrap().judge(&[2, 3, 4]);
    for (publisher, quota) in quotas.iter().enumerate() {
        let ledger = scenario.yard.ledger.lock().unwrap();
        findings.extend(ledger.untold(publisher as u8, *quota));
    }
    let messages = quotas.iter().sum();
    let text = scenario.report(&plan, messages, faults_over, began.elapsed(), &tally);
    println!("{text}");
    if !findings.is_empty() {
        let evidence = scenario.evidence(&findings).await;
        panic!("{plan}\n{text}\n{} findings:\n{evidence}", findings.len());
    }
    let foreign = tally.foreign.load(Relaxed);
    assert!(
        foreign == 0 || scenario.world.rigs.len() > 1,
        "one server has one number for each message"
    );
    let filled = plan.counts().contains_key(&Kind::FullSpool)
        && scenario.stores.iter().all(|store| store.disk.is_some());
    assert!(
        !filled || scenario.yard.errors(FULL_DISK) > 0,
        "no spool met its full disk"
    );
    Report {
        faults: plan.faults.len(),
        messages,
    }
}

impl Scenario {
    /// Hands out the next part: for each fault one before it, and one while it lasts.
    pub(super) fn hand_out(&self) {
        self.yard.part.send_modify(|part| *part += 1);
        if let Some(process) = &self.process {
            process.hand_out(&self.yard, *self.yard.part.borrow());
        }
    }

    /// Waits until publishing is in the middle of a part, or does not get on.
    async fn progress(&self, quotas: [u32; 5]) {
        let own: u32 = quotas[..4].iter().sum();
        let part = *self.yard.part.borrow();
        let (before, after) = (part - 1, part);
        let handed_out = |part| u64::from(self.yard.handed_out(part, own));
        let wanted = (handed_out(before) + handed_out(after)) / 2;
        let reached = async {
            while self.yard.attempts.load(Relaxed) < wanted {
                sleep(Duration::from_millis(1)).await;
            }
        };
        let _ = timeout(Duration::from_secs(2), reached).await;
    }

    /// Starts the readers anew, in the place of those there are.
    pub(super) fn read(&mut self) {
        for reader in self.readers.drain(..) {
            reader.abort();
        }
        self.count_foreign();
        let ports = &self.proxies[APPLICATION].ports;
        let client = Client::start(self.world.options("hub", ports));
        for (number, application) in self.applications.iter().enumerate() {
            let (application, client) = (Arc::clone(application), client.clone());
            self.seed = self.seed.wrapping_add(1);
            self.readers.push(match of(number as u8).0 == LAB {
                true => tokio::spawn(application.read::<Sample>(client, self.seed)),
                false => tokio::spawn(application.read::<Spooled>(client, self.seed)),
            });
        }
        self.reading = Some(client);
    }

    /// Adds up what the readers were given by mistake, when they end.
    fn count_foreign(&mut self) {
        if let Some(client) = self.reading.take() {
            let foreign = client.statistics().foreign;
            self.tally().foreign.fetch_add(foreign, Relaxed);
        }
    }

    /// Waits until everything that is kept was taken.
    #[allow(clippy::print_stdout, reason = "what hangs is to be seen")]
    async fn rest(&mut self, publishers: [JoinHandle<()>; 4]) {
        let began = Instant::now();
        let left = || REST.saturating_sub(began.elapsed());
        for (number, publisher) in publishers.into_iter().enumerate() {
            let Ok(ended) = timeout(left(), publisher).await else {
                let ledger = self.yard.ledger.lock().unwrap();
                panic!("publisher {number} does not end: {:?}", ledger.count());
            };
            ended.unwrap();
        }
        println!("published after {:.1?}", began.elapsed());
        for store in &mut self.stores {
            assert!(store.spool.emptied(left()).await, "{:?}", store.spool);
            if let Some(drain) = store.drain.take() {
                drain.stop(SOON).await;
            }
        }
        println!("drained after {:.1?}", began.elapsed());
        if let Some(process) = self.process.take() {
            process.finish(&self.yard, left()).await;
        }
        println!("the process ended after {:.1?}", began.elapsed());
        let owed = || self.yard.ledger.lock().unwrap().owed();
        let taken = || self.yard.ledger.lock().unwrap().taken();
        let (mut last, mut at, mut said) = (taken(), Instant::now(), Instant::now());
        loop {
            let now = taken();
            if now != last {
                (last, at) = (now, Instant::now());
            }
            // What is owed no longer comes; or nothing is, and what comes twice would have come.
            if (owed() == 0 && self.stored().await == now) || at.elapsed() > PATIENCE {
                break;
            }
            if said.elapsed() > Duration::from_secs(5) {
                said = Instant::now();
                println!("{now} taken, {} owed, {:?}", owed(), self.tally());
            }
            sleep(Duration::from_millis(50)).await;
        }
        for reader in self.readers.drain(..) {
            if reader.is_finished() {
                reader.await.expect("readers do not end");
            } else {
                reader.abort();
            }
        }
        self.count_foreign();
    }

    fn tally(&self) -> &Tally {
        &self.applications[0].tally
    }

    /// How many messages the streams hold.
    async fn stored(&self) -> u64 {
        let mut messages = 0;
        for stream in [LAB, TRUNK] {
            let info = self.keeper.stream_info(&stream).await;
            messages += info.map_or(0, |info| info.messages);
        }
        messages
    }
    fn report(
        &self,
        plan: &Plan,
        messages: u32,
        faults_over: Duration,
        whole: Duration,
        tally: &Tally,
    ) -> String {
        let mut text = String::new();
        let faults = plan.faults.len();
        let (over, whole) = (faults_over.as_secs_f64(), whole.as_secs_f64());
        let servers = self.world.rigs.len();
        writeln!(
            text,
            "{messages} messages through {faults} faults of {servers} server(s): {whole:.1} s, \
             {over:.1} s of them with faults\nfaults: {:?}",
            plan.counts()
        )
        .unwrap();
        for ((publisher, fate), count) in self.yard.ledger.lock().unwrap().count() {
            writeln!(text, "publisher {publisher}: {count} {}", word(fate)).unwrap();
        }
        writeln!(text, "errors: {:?}", self.yard.errors.lock().unwrap()).unwrap();
        writeln!(text, "{tally:?}").unwrap();
        for store in &self.stores {
            let statistics = store.spool.statistics();
            assert!(LossReason::ALL.iter().all(|r| statistics.dropped(*r) == 0));
            writeln!(text, "{statistics:?}").unwrap();
        }
        text
    }

    /// Asks the streams about what is wrong: whether it is the server that lost it.
    async fn evidence(&self, findings: &[Finding]) -> String {
        let mut text = String::new();
        for finding in findings.iter().take(20) {
            writeln!(text, "{finding:?}").unwrap();
            let (key, sequence) = match finding {
                Finding::Lost(key, Some(sequence)) | Finding::Misplaced(key, sequence, _) => {
                    (key, *sequence)
                }
                _ => continue,
            };
            let (stream, subjects) = of(key.node);
            let there = self.keeper.stream_message(&stream, sequence, &subjects);
            let there = there.await;
            writeln!(text, "  the stream has at {sequence}: {there:?}").unwrap();
        }
        for stream in [LAB, TRUNK] {
            let info = self.keeper.stream_info(&stream).await;
            writeln!(text, "{info:?}").unwrap();
        }
        for rig in &self.world.rigs {
            let log = std::fs::read_to_string(rig.path("log")).unwrap_or_default();
            let told = log.lines().filter(|line| {
                ["[ERR]", "[WRN]", "[FTL]"]
                    .iter()
                    .any(|word| line.contains(word))
            });
            let told: Vec<_> = told.collect();
            let last = &told[told.len().saturating_sub(40)..];
            writeln!(text, "server {}:\n{}", rig.port(), last.join("\n")).unwrap();
        }
        text
    }
}
