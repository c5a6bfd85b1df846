//! Keeps a connection: seeks one for ever, replaces it on request, ends it in order.

use super::backoff;
use super::id::random_u32;
use super::link::{Lane, Link, RoundTripError, dial};
use super::statistics::count;
use super::subscriptions::Registration;
use super::{Core, DrainError, LinkError, ReloadError, State};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// For how long copies of what a replaced connection delivered may still be under way.
const STRAGGLERS: Duration = Duration::from_secs(1);

/// What users ask of the supervisor. When all of them are gone, it ends.
pub(super) enum Command {
    Reload(oneshot::Sender<Result<(), ReloadError>>),
    Drain {
        within: Duration,
        done: oneshot::Sender<Result<(), DrainError>>,
    },
}

pub(super) struct Supervisor {
    core: Arc<Core>,
    commands: mpsc::Receiver<Command>,
    /// Counts attempts; tells which server is next.
    attempts: usize,
    links: u64,
    /// Who waits for the connection that is being sought.
    waiting: Vec<oneshot::Sender<Result<(), ReloadError>>>,
}

/// Whether to go on.
enum Step<T> {
    Go(T),
    Stop,
}

impl Supervisor {
    pub(super) fn new(core: Arc<Core>, commands: mpsc::Receiver<Command>) -> Self {
        Self {
            core,
            commands,
            attempts: 0,
            links: 0,
            waiting: Vec::new(),
        }
    }

    pub(super) async fn run(mut self) {
        let mut error = None;
        while let Step::Go(link) = self.seek(error.take()).await {
            match self.attend(link).await {
                Step::Go(end) => error = Some(end),
                Step::Stop => break,
            }
        }
        if let Some(link) = self.core.topology.close() {
            link.out.finish();
        }
        self.core.close_backlog();
        self.core.state.send_replace(State::Closed);
    }

    /// Seeks a connection until there is one.
    async fn seek(&mut self, mut error: Option<Arc<LinkError>>) -> Step<Arc<Link>> {
        let core = Arc::clone(&self.core);
        let options = &core.options;
        let refused = |error: &Option<Arc<LinkError>>| {
            matches!(error.as_deref(), Some(LinkError::Unauthorized { .. }))
        };
        let mut failures: u32 = 0;
        let mut refusals = u32::from(refused(&error));
        // After a loss a whole crowd comes back to one server: not all at the same instant.
        let mut pause = match error {
            Some(_) => backoff::pause(options.backoff_min, options.backoff_max, 0, random_u32()),
            None => Duration::ZERO,
        };
        loop {
            core.state.send_replace(State::Connecting {
                attempts: failures,
                error: error.clone(),
            });
            if let Step::Stop = self.pause(pause).await {
                return Step::Stop;
            }
            let failure = match self.open_attended().await {
                Step::Stop => return Step::Stop,
                Step::Go(Ok(link)) => match self.take_up(&link).await {
                    Ok(()) => return Step::Go(link),
                    Err(failure) => failure,
                },
                Step::Go(Err(failure)) => Arc::new(failure),
            };
            tracing::debug!(error = %failure, "no connection");
            count(&core.counters.failures, 1);
            failures = failures.saturating_add(1);
            for waiting in self.waiting.drain(..) {
                let _ = waiting.send(Err(ReloadError::Link(Arc::clone(&failure))));
            }
            error = Some(failure);
            refusals = match refused(&error) {
                true => refusals + 1,
                false => 0,
            };
            if refusals >= options.refusals.max(1)
                && let Some(error) = &error
            {
                core.state.send_replace(State::Refused {
                    error: Arc::clone(error),
                });
                if let Step::Stop = self.await_reload().await {
                    return Step::Stop;
                }
                refusals = 0;
                failures = 0;
                pause = Duration::ZERO;
                continue;
            }
            let servers = options.servers.len().max(1);
            pause = match self.attempts % servers {
                0 => {
                    let rounds = failures / u32::try_from(servers).unwrap_or(u32::MAX);
                    backoff::pause(
                        options.backoff_min,
                        options.backoff_max,
                        rounds,
                        random_u32(),
                    )
                }
                // The next server of the round is tried at once.
                _ => Duration::ZERO,
            };
        }
    }

    /// Waits; a request to reload ends the waiting.
    async fn pause(&mut self, pause: Duration) -> Step<()> {
        tokio::select! {
            () = tokio::time::sleep(pause) => Step::Go(()),
            command = self.commands.recv() => self.unconnected(command),
        }
    }

    async fn await_reload(&mut self) -> Step<()> {
        let command = self.commands.recv().await;
        self.unconnected(command)
    }

    /// Handles a command while there is no connection.
    fn unconnected(&mut self, command: Option<Command>) -> Step<()> {
        match command {
            Some(Command::Reload(done)) => {
                self.waiting.push(done);
                Step::Go(())
            }
            Some(Command::Drain { done, .. }) => {
                let _ = done.send(Ok(()));
                Step::Stop
            }
            None => Step::Stop,
        }
    }

    /// Makes one attempt, open to commands meanwhile.
    async fn open_attended(&mut self) -> Step<Result<Arc<Link>, LinkError>> {
        let open = self.open();
        tokio::pin!(open);
        loop {
            let command = tokio::select! {
                result = &mut open => return Step::Go(result),
                command = self.commands.recv() => command,
            };
            if let Step::Stop = self.unconnected(command) {
                return Step::Stop;
            }
        }
    }

    /// Makes one attempt, with the next server.
    fn open(&mut self) -> impl Future<Output = Result<Arc<Link>, LinkError>> + use<> {
        let core = Arc::clone(&self.core);
        let attempt = self.attempts;
        self.attempts += 1;
        self.links += 1;
        let id = self.links;
        async move {
            let options = &core.options;
            let server = match options.servers.len() {
                0 => return Err(LinkError::NoServers),
                servers => &options.servers[attempt % servers],
            };
            let dialed = Box::pin(dial(server, options)).await?;
            let link = Arc::new(Link::new(
                id,
                &options.node,
                &core.ids.token(),
                dialed.server,
                options.outbound_bytes,
                Arc::clone(&core.counters),
                core.denials.clone(),
            ));
            tokio::spawn(Arc::clone(&link).run(
                dialed.stream,
                dialed.received,
                dialed.decoder,
                Arc::clone(options),
            ));
            Ok(link)
        }
    }

    /// Makes all subscriptions on a connection where there was none, and takes it into use.
    async fn take_up(&mut self, link: &Arc<Link>) -> Result<(), Arc<LinkError>> {
        let core = &self.core;
        core.topology.prepare(link);
        if let Err(error) = prove(link, core.options.timeout).await {
            core.topology.abandon();
            link.out.finish();
            return Err(error);
        }
        core.topology.switch();
        tokio::spawn(Arc::clone(core).send_backlog());
        count(&core.counters.connects, 1);
        self.announce(link);
        for waiting in self.waiting.drain(..) {
            let _ = waiting.send(Ok(()));
        }
        Ok(())
    }

    fn announce(&self, link: &Link) {
        tracing::debug!(link = link.id, server = %link.server.address, "connected");
        self.core.state.send_replace(State::Connected {
            server: Arc::clone(&link.server),
        });
    }

    /// Attends to a connection, and its replacements, until the last one ends.
    async fn attend(&mut self, mut link: Arc<Link>) -> Step<Arc<LinkError>> {
        loop {
            let command = tokio::select! {
                error = link.ended() => {
                    self.core.topology.lost(&link);
                    return Step::Go(error);
                }
                command = self.commands.recv() => command,
            };
            match command {
                Some(Command::Reload(done)) => {
                    let result = self.replace(&link).await;
                    let answer = match result {
                        Ok(new) => {
                            link = new;
                            Ok(())
                        }
                        Err(error) => Err(ReloadError::Link(error)),
                    };
                    let _ = done.send(answer);
                }
                Some(Command::Drain { within, done }) => {
                    let _ = done.send(self.drain(&link, within).await);
                    return Step::Stop;
                }
                None => return Step::Stop,
            }
        }
    }

    /// Replaces a connection: the new one is proven before the old one is let go, nothing is lost
    /// and nothing doubled.
    async fn replace(&mut self, old: &Arc<Link>) -> Result<Arc<Link>, Arc<LinkError>> {
        let mut opened = Err(LinkError::NoServers);
        for _ in 0..self.core.options.servers.len() {
            opened = self.open().await;
            if opened.is_ok() {
                break;
            }
            count(&self.core.counters.failures, 1);
        }
        let new = opened.map_err(Arc::new)?;
        let core = &self.core;
        let timeout = core.options.timeout;

        new.out.hold();
        core.topology.prepare(&new);
        let proven = prove(&new, timeout).await;
        match &proven {
            Ok(()) => core.topology.switch(),
            Err(_) => core.topology.abandon(),
        }
        let registrations = core.topology.registrations();
        if proven.is_ok() {
            for registration in &registrations {
                old.quiet(registration.sid);
            }
            // When this is answered, the old connection has delivered all it had, and the server has
            // all that was published on it. If it fails, the old connection is dead: the same.
            let _ = old.round_trip(Lane::Control, timeout).await;
            new.out.release();
        }
        for registration in &registrations {
            let (duplicates, missed) = registration.mailbox.release();
            count(&core.counters.duplicates, duplicates);
            count(&core.counters.missed, missed);
        }
        if let Err(error) = proven {
            new.out.finish();
            end_handover(&registrations, new.id);
            return Err(error);
        }
        count(&core.counters.reloads, 1);
        self.announce(&new);
        tokio::spawn(linger(
            Arc::clone(&self.core),
            Arc::clone(old),
            new.id,
            registrations,
        ));
        Ok(new)
    }

    /// Ends in order: no new messages, those that came are left to be read, owed and awaited
    /// answers get their time, the server confirms all that was published.
    async fn drain(&mut self, link: &Arc<Link>, within: Duration) -> Result<(), DrainError> {
        self.core.state.send_replace(State::Draining);
        let finished = async {
            for registration in self.core.topology.registrations() {
                link.quiet(registration.sid);
            }
            prove(link, within).await.map_err(drop)?;
            for registration in self.core.topology.registrations() {
                registration.mailbox.close();
            }
            link.settled().await;
            // Forgotten first: who is told to move must find another connection, or none.
            self.core.topology.lost(link);
            link.out.retire();
            prove(link, within).await.map_err(drop)?;
            link.out.finish();
            link.ended().await;
            Ok::<(), ()>(())
        };
        match tokio::time::timeout(within, finished).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(())) | Err(_) => Err(DrainError::Unfinished),
        }
    }
}

/// Waits until the server has handled everything so far.
async fn prove(link: &Link, within: Duration) -> Result<(), Arc<LinkError>> {
    match link.round_trip(Lane::Control, within).await {
        Ok(()) => Ok(()),
        Err(RoundTripError::TimedOut) => Err(Arc::new(LinkError::TimedOut {
            server: link.server.address.clone(),
            after: within,
        })),
        Err(RoundTripError::Lost | RoundTripError::Refused(_)) => Err(link.ended().await),
    }
}

/// Keeps a replaced connection for the answers that belong to it, then ends it.
async fn linger(
    core: Arc<Core>,
    old: Arc<Link>,
    new_link: u64,
    registrations: Vec<Arc<Registration>>,
) {
    tokio::time::sleep(STRAGGLERS.min(core.options.linger)).await;
    end_handover(&registrations, new_link);
    drop(registrations);
    tokio::select! {
        _ = tokio::time::timeout(core.options.linger, old.settled()) => {}
        _ = old.ended() => return,
    }
    let _ = old.round_trip(Lane::Control, core.options.timeout).await;
    old.out.finish();
}

fn end_handover(registrations: &[Arc<Registration>], new_link: u64) {
    for registration in registrations {
        registration.mailbox.end_handover(new_link);
    }
}
