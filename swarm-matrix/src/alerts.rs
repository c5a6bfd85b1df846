//! What becomes of alerts: routed, told once, acknowledged, over.
//!
//! An alert is known by its sender and its key together, so that no node can repeat, silence or
//! resolve another's. Time is an argument; memory is bounded.

use std::collections::BTreeMap;

use crate::event::{Acknowledgement, Alert, AlertState, Severity};
use crate::id::UserId;

/// Where alerts go that match.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// The name of the destination: what it means is the caller's affair.
    pub to: String,
    /// Only alerts at least as grave.
    pub min_severity: Severity,
    /// Only alerts of this sender.
    pub sender: Option<UserId>,
    /// Only alerts whose key begins so.
    pub key_prefix: String,
    /// Only alerts with all these labels.
    pub labels: BTreeMap<String, String>,
}

impl Route {
    /// Routes everything at least as grave.
    pub fn new(to: impl Into<String>, min_severity: Severity) -> Self {
        Self {
            to: to.into(),
            min_severity,
            sender: None,
            key_prefix: String::new(),
            labels: BTreeMap::new(),
        }
    }

    /// The same for one sender only.
    pub fn from_sender(mut self, sender: UserId) -> Self {
        self.sender = Some(sender);
        self
    }

    /// The same for keys that begin so only.
    pub fn with_key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.key_prefix = prefix.into();
        self
    }

    /// The same for alerts with this label only.
    pub fn with_label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(name.into(), value.into());
        self
    }

    /// Whether an alert goes this way.
    pub fn matches(&self, sender: &UserId, alert: &Alert) -> bool {
        alert.severity >= self.min_severity
            && self.sender.as_ref().is_none_or(|only| only == sender)
            && alert.key.starts_with(&self.key_prefix)
            && self
                .labels
                .iter()
                .all(|(name, value)| alert.labels.get(name) == Some(value))
    }
}

/// How alerts are told apart from repetitions of them.
///
/// # Defaults
/// An unacknowledged alert that still fires is told again after 4 hours; at most
/// 4,096 alerts are remembered, 256 of one sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AlertBookConfig {
    /// Milliseconds after which an alert that still fires and that nobody acknowledged is told
    /// again.
    pub remind_after_ms: u64,
    /// Alerts that are remembered.
    pub capacity: usize,
    /// Alerts of one sender that are remembered.
    pub capacity_per_sender: usize,
}

impl Default for AlertBookConfig {
    fn default() -> Self {
        Self {
            remind_after_ms: 4 * 3_600_000,
            capacity: 4_096,
            capacity_per_sender: 256,
        }
    }
}

/// What an alert is, in the light of those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Not known before, or known as over: tell it.
    New,
    /// Known, and graver now: tell it.
    Escalated,
    /// Known, unacknowledged, and long ago: tell it again.
    Reminder,
    /// Known: say nothing. How often it came.
    Repeated(u64),
    /// It is over: tell it.
    Resolved,
    /// Older than what is known (it was late on its way), or over without ever having begun.
    Stale,
}

impl Outcome {
    /// Whether people should hear of it.
    pub fn is_told(self) -> bool {
        !matches!(self, Self::Repeated(_) | Self::Stale)
    }
}

/// An alert that is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Standing {
    /// As it came last.
    pub alert: Alert,
    /// How often it came.
    pub count: u64,
    /// When it was told last (milliseconds, the caller's clock).
    pub told_at: u64,
    /// Who has seen it, and when they said so.
    pub acknowledged: Option<(UserId, u64)>,
}

/// Remembers alerts. Pure.
#[derive(Debug)]
pub struct AlertBook {
    config: AlertBookConfig,
    standing: BTreeMap<(UserId, String), Standing>,
    forgotten: u64,
}

impl AlertBook {
    /// An empty book.
    pub fn new(config: AlertBookConfig) -> Self {
        Self {
            config,
            standing: BTreeMap::new(),
            forgotten: 0,
        }
    }

    /// Takes an alert. `now` is milliseconds of the caller's clock.
    pub fn handle_alert(&mut self, sender: &UserId, alert: &Alert, now: u64) -> Outcome {
        let key = (sender.clone(), alert.key.clone());
        let resolved = alert.state == AlertState::Resolved;
        let Some(known) = self.standing.get_mut(&key) else {
            if resolved {
                return Outcome::Stale;
            }
            self.make_room(sender);
            let standing = Standing {
                alert: alert.clone(),
                count: 1,
                told_at: now,
                acknowledged: None,
            };
            self.standing.insert(key, standing);
            return Outcome::New;
        };
        if alert.at < known.alert.at {
            return Outcome::Stale;
        }
        let was_over = known.alert.state == AlertState::Resolved;
        let before = known.alert.severity;
        known.alert = alert.clone();
        if resolved {
            known.acknowledged = None;
            return if was_over {
                Outcome::Stale
            } else {
                Outcome::Resolved
            };
        }
        let outcome = if was_over {
            known.count = 0;
            Outcome::New
        } else if alert.severity > before {
            Outcome::Escalated
        } else if known.acknowledged.is_none()
            && now.saturating_sub(known.told_at) >= self.config.remind_after_ms
        {
            Outcome::Reminder
        } else {
            Outcome::Repeated(known.count + 1)
        };
        known.count += 1;
        if outcome.is_told() {
            known.told_at = now;
        }
        if matches!(outcome, Outcome::New | Outcome::Escalated) {
            known.acknowledged = None;
        }
        outcome
    }

    /// Takes an acknowledgement; whether there was something to acknowledge.
    pub fn handle_acknowledgement(&mut self, by: &UserId, ack: &Acknowledgement) -> bool {
        let key = (ack.sender.clone(), ack.key.clone());
        let Some(standing) = self.standing.get_mut(&key) else {
            return false;
        };
        if standing.alert.state == AlertState::Resolved || standing.acknowledged.is_some() {
            return false;
        }
        standing.acknowledged = Some((by.clone(), ack.at));
        true
    }

    /// An alert that is remembered.
    pub fn standing(&self, sender: &UserId, key: &str) -> Option<&Standing> {
        self.standing.get(&(sender.clone(), key.to_owned()))
    }

    /// All that fires, the gravest first.
    pub fn firing(&self) -> Vec<(&UserId, &Standing)> {
        let mut firing: Vec<_> = self
            .standing
            .iter()
            .filter(|(_, standing)| standing.alert.state == AlertState::Firing)
            .map(|((sender, _), standing)| (sender, standing))
            .collect();
        firing.sort_by_key(|(_, standing)| std::cmp::Reverse(standing.alert.severity));
        firing
    }

    /// Firing alerts that were forgotten because there were too many.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Forgets one alert of a sender that has too many, or of all: what is over first, then the
    /// least grave and oldest.
    fn make_room(&mut self, sender: &UserId) {
        let own = self
            .standing
            .keys()
            .filter(|(user, _)| user == sender)
            .count();
        let only = if own >= self.config.capacity_per_sender.max(1) {
            Some(sender)
        } else if self.standing.len() >= self.config.capacity.max(1) {
            None
        } else {
            return;
        };
        let victim = self
            .standing
            .iter()
            .filter(|((user, _), _)| only.is_none_or(|only| only == user))
            .min_by_key(|(_, standing)| {
                let firing = standing.alert.state == AlertState::Firing;
                (firing, standing.alert.severity, standing.told_at)
            })
            .map(|(key, _)| key.clone());
        if let Some(standing) = victim.and_then(|key| self.standing.remove(&key))
            && standing.alert.state == AlertState::Firing
        {
            self.forgotten += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        UserId::parse(format!("@{name}:s")).unwrap()
    }

    fn alert(key: &str, severity: Severity, at: u64) -> Alert {
        Alert::new(key, severity, "text", at)
    }

    #[test]
    fn an_alert_is_told_once_then_when_graver_then_when_over() {
        let mut book = AlertBook::new(AlertBookConfig::default());
        let a = user("a");
        assert_eq!(
            book.handle_alert(&a, &alert("k", Severity::Warning, 1), 1),
            Outcome::New
        );
        assert_eq!(
            book.handle_alert(&a, &alert("k", Severity::Warning, 2), 2),
            Outcome::Repeated(2)
        );
        assert_eq!(
            book.handle_alert(&a, &alert("k", Severity::Critical, 3), 3),
            Outcome::Escalated
        );
        let over = alert("k", Severity::Critical, 3).resolved(4);
        assert_eq!(book.handle_alert(&a, &over, 4), Outcome::Resolved);
        assert_eq!(book.handle_alert(&a, &over, 5), Outcome::Stale);
        assert_eq!(
            book.handle_alert(&a, &alert("k", Severity::Info, 6), 6),
            Outcome::New
        );
    }

    #[test]
    fn nobody_speaks_for_anothers_alert() {
        let mut book = AlertBook::new(AlertBookConfig::default());
        let (a, b) = (user("a"), user("b"));
        book.handle_alert(&a, &alert("k", Severity::Critical, 1), 1);
        let forged = alert("k", Severity::Critical, 1).resolved(2);
        assert_eq!(book.handle_alert(&b, &forged, 2), Outcome::Stale);
        assert_eq!(book.firing().len(), 1);
    }

    #[test]
    fn an_acknowledged_alert_is_not_told_again_until_it_gets_worse() {
        let mut book = AlertBook::new(AlertBookConfig {
            remind_after_ms: 10,
            ..Default::default()
        });
        let a = user("a");
        book.handle_alert(&a, &alert("k", Severity::Warning, 1), 1);
        assert_eq!(
            book.handle_alert(&a, &alert("k", Severity::Warning, 12), 12),
            Outcome::Reminder
        );
        let ack = Acknowledgement::new(a.clone(), "k", 13);
        assert!(book.handle_acknowledgement(&user("op"), &ack));
        assert!(!book.handle_acknowledgement(&user("op2"), &ack));
        assert_eq!(
            book.handle_alert(&a, &alert("k", Severity::Warning, 99), 99),
            Outcome::Repeated(3)
        );
        book.handle_alert(&a, &alert("k", Severity::Critical, 100), 100);
        assert!(book.standing(&a, "k").unwrap().acknowledged.is_none());
    }

    #[test]
    fn a_noisy_sender_pushes_out_its_own_alerts_only() {
        let config = AlertBookConfig {
            capacity_per_sender: 2,
            ..Default::default()
        };
        let mut book = AlertBook::new(config);
        let (a, b) = (user("a"), user("b"));
        book.handle_alert(&b, &alert("b", Severity::Info, 0), 0);
        for n in 0..10_u64 {
            book.handle_alert(&a, &alert(&format!("k{n}"), Severity::Critical, n), n);
        }
        assert_eq!(book.firing().len(), 3);
        assert!(book.standing(&b, "b").is_some());
        assert_eq!(book.forgotten(), 8);
    }

    #[test]
    fn a_route_takes_what_matches_in_every_respect() {
        let route = Route::new("pager", Severity::Warning)
            .with_key_prefix("disk/")
            .with_label("site", "north");
        let good = alert("disk/data", Severity::Critical, 1).with_label("site", "north");
        assert!(route.matches(&user("a"), &good));
        assert!(!route.matches(&user("a"), &alert("disk/data", Severity::Critical, 1)));
        assert!(
            !route
                .clone()
                .from_sender(user("b"))
                .matches(&user("a"), &good)
        );
        assert!(!route.matches(&user("a"), &alert("net/x", Severity::Critical, 1)));
    }
}
