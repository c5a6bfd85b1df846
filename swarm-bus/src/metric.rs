//! Figures for Prometheus, as data.

/// Whether a figure only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// It only grows, until the process starts anew.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// One figure with its name; how it is written out is the caller's business.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// The name, as exporters of NATS figures use it.
    pub name: &'static str,
    /// What it counts, in one line.
    pub help: &'static str,
    /// Whether it only grows.
    pub kind: MetricKind,
    /// What tells it from others of the name.
    pub labels: Vec<(&'static str, String)>,
    /// The figure.
    pub value: f64,
}

impl Metric {
    pub(crate) fn new(
        kind: MetricKind,
        name: &'static str,
        help: &'static str,
        value: impl Into<Figure>,
    ) -> Self {
        Self {
            name,
            help,
            kind,
            labels: Vec::new(),
            value: value.into().0,
        }
    }

    pub(crate) fn label(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.labels.push((name, value.into()));
        self
    }
}

/// A number on its way into a metric. Counters above 2^53 lose their last digits, as in every
/// Prometheus client.
pub(crate) struct Figure(f64);

impl From<f64> for Figure {
    fn from(value: f64) -> Self {
        Self(value)
    }
}

impl From<u64> for Figure {
    fn from(value: u64) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "Prometheus values are doubles")]
        Self(value as f64)
    }
}

impl From<bool> for Figure {
    fn from(value: bool) -> Self {
        Self(f64::from(u8::from(value)))
    }
}
