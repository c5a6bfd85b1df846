//! One instance of a service, from its start to its end.

use super::control::Control;
use super::data::{InfoType, PingType, StatsType};
use super::endpoint::Endpoint;
use super::{
    EndpointConfig, ServiceInfo, ServiceName, ServicePing, ServiceStats, ServiceVersion, Started,
};
use crate::client::{Client, Fault, Message, SubscribeError, wall_clock};
use crate::topic::Filter;
use crate::{Call, Token};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What a service shall be.
///
/// # Defaults
/// Without description and metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceConfig {
    /// What kind of service it is; instances of one name share the requests.
    pub name: ServiceName,
    /// Its version.
    pub version: ServiceVersion,
    /// What it is for, for people.
    pub description: String,
    /// What it notes about itself.
    pub metadata: BTreeMap<String, String>,
}

impl ServiceConfig {
    /// Describes a service with the defaults.
    #[must_use]
    pub fn new(name: ServiceName, version: ServiceVersion) -> Self {
        Self {
            name,
            version,
            description: String::new(),
            metadata: BTreeMap::new(),
        }
    }
}

/// Why a service, or an endpoint of it, is not there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// A subscription did not come about;
    /// [`Right::Provide`](crate::permissions::Right::Provide) gives a node what a service needs.
    #[error("the service cannot listen")]
    Subscribe(#[from] SubscribeError),
}

/// What was not finished when the service stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StopError {
    /// Requests were still worked on; they were given up.
    #[error("not every request was finished within the time")]
    Unfinished,
}

/// How far a service has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Serving,
    /// Endpoints finish what they have; it can still be found and watched.
    Draining,
    Gone,
}

/// An instance of a service. Dropped it ends in order too, in the background.
pub struct Service {
    client: Client,
    shared: Arc<Shared>,
    stage: watch::Sender<Stage>,
    endpoints: Mutex<JoinSet<()>>,
    controls: JoinSet<()>,
}

/// What is told of a service.
struct Shared {
    id: Token,
    config: ServiceConfig,
    state: Mutex<State>,
}

struct State {
    started: SystemTime,
    endpoints: Vec<Arc<Endpoint>>,
}

impl Client {
    /// Starts a service without endpoints, which can be found when this returns.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub async fn service(&self, config: ServiceConfig) -> Result<Service, ServiceError> {
        let shared = Arc::new(Shared {
            id: self.service_id(),
            config,
            state: Mutex::new(State {
                started: wall_clock(),
                endpoints: Vec::new(),
            }),
        });
        let mut service = Service {
            client: self.clone(),
            stage: watch::Sender::new(Stage::Serving),
            endpoints: Mutex::default(),
            controls: JoinSet::new(),
            shared: Arc::clone(&shared),
        };
        let mut listening = Vec::new();
        for (verb, control) in Control::all(&shared.config.name, &shared.id) {
            listening.push((verb, self.requests(&control, None)?));
        }
        for (verb, requests) in listening {
            // A denial is known of each one by itself.
            requests.barrier().await?;
            let (shared, stop) = (Arc::clone(&shared), service.until(Stage::Gone));
            service.controls.spawn(
                requests.serve_until(stop, move |_| std::future::ready(shared.answer(&verb))),
            );
        }
        Ok(service)
    }
}

impl Service {
    /// Adds an endpoint, which is served when this returns.
    ///
    /// Requests are handled up to 64 at a time. A [`Fault`] that the handler returns reaches the
    /// asker as [`RequestError::Fault`](crate::client::RequestError::Fault), and counts.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub async fn endpoint<C, F, A>(
        &self,
        config: EndpointConfig,
        filter: impl Into<Filter<C>>,
        handler: F,
    ) -> Result<(), ServiceError>
    where
        C: Call,
        F: Fn(Message<C>) -> A + Send + Sync + 'static,
        A: Future<Output = Result<C::Reply, Fault>> + Send + 'static,
    {
        let filter = filter.into();
        let pattern = filter.pattern().clone();
        let requests = self.client.requests(filter, config.queue_group.clone())?;
        requests.barrier().await?;
        let endpoint = Arc::new(Endpoint::new(config, pattern));
        self.shared.state().endpoints.push(Arc::clone(&endpoint));
        let stop = self.until(Stage::Draining);
        lock(&self.endpoints).spawn(endpoint.run(requests, stop, handler));
        Ok(())
    }

    /// Returns the id of this instance.
    #[must_use]
    pub fn id(&self) -> &Token {
        &self.shared.id
    }

    /// Returns what the service offers, as it answers to `$SRV.INFO`.
    #[must_use]
    pub fn info(&self) -> ServiceInfo {
        self.shared.info()
    }

    /// Returns what the service did, as it answers to `$SRV.STATS`.
    #[must_use]
    pub fn stats(&self) -> ServiceStats {
        self.shared.stats()
    }

    /// Counts anew from now on.
    pub fn reset(&self) {
        let mut state = self.shared.state();
        state.started = wall_clock();
        for endpoint in &state.endpoints {
            endpoint.reset();
        }
    }

    /// Ends in order: the endpoints take no more requests and answer those that came, then the
    /// service can be found no longer. The client goes on.
    ///
    /// # Errors
    /// [`StopError::Unfinished`] when it took too long; what was still under way is given up.
    pub async fn stop(mut self, within: Duration) -> Result<(), StopError> {
        let mut endpoints = std::mem::take(&mut *lock(&self.endpoints));
        let finished = async {
            self.stage.send_replace(Stage::Draining);
            while endpoints.join_next().await.is_some() {}
            self.stage.send_replace(Stage::Gone);
            while self.controls.join_next().await.is_some() {}
        };
        // Those that are dropped with their sets are ended.
        tokio::time::timeout(within, finished)
            .await
            .map_err(|_| StopError::Unfinished)
    }

    /// Waits until the service has come so far, or is dropped.
    fn until(&self, stage: Stage) -> impl Future<Output = ()> + Send + 'static {
        let mut stages = self.stage.subscribe();
        async move {
            let _ = stages.wait_for(|now| *now >= stage).await;
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stage.send_replace(Stage::Gone);
        std::mem::take(&mut *lock(&self.endpoints)).detach_all();
        self.controls.detach_all();
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("id", &self.shared.id)
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn ping(&self) -> ServicePing {
        let config = self.config.clone();
        ServicePing {
            kind: PingType::Ping,
            name: config.name,
            id: self.id.clone(),
            version: config.version,
            metadata: config.metadata,
        }
    }

    fn info(&self) -> ServiceInfo {
        let config = self.config.clone();
        let endpoints = &self.state().endpoints;
        ServiceInfo {
            kind: InfoType::Info,
            name: config.name,
            id: self.id.clone(),
            version: config.version,
            metadata: config.metadata,
            description: config.description,
            endpoints: endpoints.iter().map(|endpoint| endpoint.info()).collect(),
        }
    }

    fn stats(&self) -> ServiceStats {
        let config = self.config.clone();
        let state = self.state();
        ServiceStats {
            kind: StatsType::Stats,
            name: config.name,
            id: self.id.clone(),
            version: config.version,
            metadata: config.metadata,
            endpoints: state.endpoints.iter().map(|e| e.stats()).collect(),
            started: Started(state.started),
        }
    }

    fn answer(&self, verb: &Token) -> Result<Bytes, Fault> {
        let json = match verb.as_str() {
            "PING" => serde_json::to_vec(&self.ping()),
            "INFO" => serde_json::to_vec(&self.info()),
            _ => serde_json::to_vec(&self.stats()),
        };
        json.map(Bytes::from)
            .map_err(|error| Fault::new(500, error.to_string()))
    }
}

/// Locks what no panic leaves half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
