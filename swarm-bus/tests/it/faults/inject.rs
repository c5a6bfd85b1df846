//! Does what a plan says.

use super::FORGOTTEN;
use super::plan::{Fault, Ways};
use super::proxy::{Flow, Proxy};
use super::publish::FULL_DISK;
use super::scenario::Scenario;
use crate::rig::SOON;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::{sleep, timeout};

impl Scenario {
    /// Lets a fault last, while messages are published.
    async fn last(&self, time: Duration) {
        self.hand_out();
        sleep(time).await;
    }

    fn on(&self, link: Option<usize>, act: impl Fn(&Proxy)) {
        for (number, proxy) in self.proxies.iter().enumerate() {
            if link.is_none_or(|link| link == number) {
                act(proxy);
            }
        }
    }

    async fn kill(&mut self, server: usize, down: Duration) {
        self.world.rigs[server].kill();
        self.last(down).await;
        self.world.rigs[server].run();
    }

    pub(super) async fn inject(&mut self, fault: Fault) {
        let servers = self.world.rigs.len();
        match fault {
            Fault::KillServer { down } => {
                let mut server = 0;
                if servers > 1 {
                    server = (self.world.leader(&self.keeper, "LAB").await + 1) % servers;
                }
                self.kill(server, down).await;
            }
            Fault::KillLeader { down } => {
                self.world.leader(&self.keeper, "TRUNK").await;
                let leader = self.world.leader(&self.keeper, "LAB").await;
                self.kill(leader, down).await;
            }
            Fault::FullServer { time } => self.fill_server(time).await,
            Fault::FullSpool { spool, time } => self.fill_spool(spool, time).await,
            Fault::Freeze { link, ways, time } => {
                let flow = Flow {
                    silent_to_server: ways != Ways::ToClient,
                    silent_to_client: ways != Ways::ToServer,
                    ..Flow::default()
                };
                self.on(link, |proxy| proxy.set(flow));
                self.last(time).await;
                self.on(link, |proxy| proxy.set(Flow::default()));
            }
            Fault::HalfOpen { link } => {
                self.on(link, Proxy::halve);
                self.hand_out();
            }
            Fault::Cut { link } => {
                self.on(link, Proxy::cut);
                self.hand_out();
            }
            Fault::Outage { link, time } => {
                self.deafen(link, |proxy| proxy.close(time)).await;
                sleep(time).await;
            }
            Fault::LongOutage { link } => {
                self.deafen(link, |proxy| proxy.close(FORGOTTEN)).await;
            }
            Fault::Slow { link, delay, time } => {
                let flow = Flow {
                    delay,
                    ..Flow::default()
                };
                self.on(link, |proxy| proxy.set(flow));
                self.last(time).await;
                self.on(link, |proxy| proxy.set(Flow::default()));
            }
            Fault::KillPublisher => {
                if let Some(process) = &mut self.process {
                    process.kill();
                }
                self.hand_out();
            }
            Fault::KillConsumer => {
                self.read();
                self.hand_out();
            }
            Fault::JumpClock { spool, by } => {
                let wrong = &self.stores[spool].wrong;
                let jump = |proxy: &Proxy| {
                    wrong.fetch_add(by, Relaxed);
                    proxy.cut();
                };
                self.deafen(2 + spool, jump).await;
            }
        }
    }

    /// Keeps acknowledgements away for a moment, in which messages arrive; then the line breaks.
    async fn deafen(&self, link: usize, break_it: impl FnOnce(&Proxy)) {
        let proxy = &self.proxies[link];
        proxy.set(Flow {
            silent_to_client: true,
            ..Flow::default()
        });
        self.last(Duration::from_millis(200)).await;
        break_it(proxy);
        proxy.set(Flow::default());
    }

    /// Leaves a spool without room for a while, until it was told so.
    async fn fill_spool(&self, spool: usize, time: Duration) {
        let Some(disk) = &self.stores[spool].disk else {
            self.proxies[2 + spool].cut();
            return self.last(time).await;
        };
        disk.fill();
        let before = self.yard.errors(FULL_DISK);
        self.last(time).await;
        let met = async {
            while self.yard.errors(FULL_DISK) == before {
                sleep(Duration::from_millis(5)).await;
            }
        };
        // Whether one was is seen at the end.
        let _ = timeout(SOON, met).await;
        disk.free();
    }

    /// Leaves a server without room for a while. nats-server 2.9.10 says nothing then, to its
    /// publishers neither, and has to be started again.
    async fn fill_server(&mut self, time: Duration) {
        let mut server = 0;
        if self.world.rigs.len() > 1 {
            server = self.world.leader(&self.keeper, "LAB").await;
        }
        if let Some(disk) = self.world.disks.get(server) {
            disk.fill();
            self.last(time).await;
            // Several servers make room by compacting their logs.
            assert!(disk.is_full() || self.world.rigs.len() > 1);
            disk.free();
            self.world.rigs[server].kill();
            self.world.rigs[server].run();
        } else {
            self.kill(server, time).await;
        }
    }
}
