//! Prometheus' text format 0.0.4.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use swarm_bus::{Metric, MetricKind};

/// Families by name, so that the samples of one stand together however they came.
#[derive(Default)]
pub(super) struct Page {
    families: BTreeMap<String, Family>,
}

struct Family {
    help: String,
    kind: &'static str,
    samples: Vec<String>,
}

impl Page {
    pub(super) fn add(
        &mut self,
        name: &str,
        help: &str,
        kind: &'static str,
        labels: &[(&str, &str)],
        value: f64,
    ) {
        let family = self
            .families
            .entry(name.to_owned())
            .or_insert_with(|| Family {
                help: help.to_owned(),
                kind,
                samples: Vec::new(),
            });
        let mut sample = name.to_owned();
        for (position, (label, value)) in labels.iter().enumerate() {
            let separator = if position == 0 { '{' } else { ',' };
            // writing to a String cannot fail
            let _ = write!(sample, "{separator}{label}=\"{}\"", escape(value));
        }
        if !labels.is_empty() {
            sample.push('}');
        }
        let _ = write!(sample, " {value}");
        family.samples.push(sample);
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, labels: &[(&str, &str)], value: f64) {
        self.add(name, help, "gauge", labels, value);
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, labels: &[(&str, &str)], value: f64) {
        self.add(name, help, "counter", labels, value);
    }

    pub(super) fn add_all(&mut self, metrics: impl IntoIterator<Item = Metric>) {
        for metric in metrics {
            let kind = match metric.kind {
                MetricKind::Counter => "counter",
                MetricKind::Gauge => "gauge",
            };
            let labels: Vec<_> = metric
                .labels
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            // a counter's name says so, or Prometheus' own linter refuses it
            let name = match metric.kind {
                MetricKind::Counter if !metric.name.ends_with("_total") => {
                    format!("{}_total", metric.name)
                }
                _ => metric.name.to_owned(),
            };
            self.add(&name, metric.help, kind, &labels, metric.value);
        }
    }

    /// Takes over the families of another page whose names begin with `prefix`.
    pub(super) fn add_text(&mut self, text: &str, prefix: &str) {
        let mut current = String::new();
        for line in text.lines() {
            if let Some((name, help)) = line
                .strip_prefix("# HELP ")
                .and_then(|rest| rest.split_once(' '))
            {
                current.clear();
                if name.starts_with(prefix) {
                    name.clone_into(&mut current);
                    let help = if help.is_empty() {
                        "Not explained by the server."
                    } else {
                        help
                    };
                    let family = Family {
                        help: help.to_owned(),
                        kind: "untyped",
                        samples: Vec::new(),
                    };
                    self.families.insert(current.clone(), family);
                }
            } else if let Some(family) = self.families.get_mut(&current) {
                match line
                    .strip_prefix("# TYPE ")
                    .and_then(|rest| rest.split_once(' '))
                {
                    Some((_, kind)) => family.kind = known_kind(kind),
                    None if !line.is_empty() && !line.starts_with('#') => {
                        family.samples.push(line.to_owned());
                    }
                    None => {}
                }
            }
        }
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let families = self
            .families
            .iter()
            .filter(|(name, family)| !family.samples.is_empty() && !family.is_misnamed(name));
        for (name, family) in families {
            // writing to a String cannot fail
            let _ = writeln!(
                text,
                "# HELP {name} {}\n# TYPE {name} {}",
                family.help, family.kind
            );
            family.samples.iter().for_each(|sample| {
                text.push_str(sample);
                text.push('\n');
            });
        }
        text
    }
}

impl Family {
    /// Whether a gauge bears a name that Prometheus reserves for other kinds, as some of Synapse's do.
    fn is_misnamed(&self, name: &str) -> bool {
        let reserved = ["_total", "_count", "_sum", "_bucket"];
        self.kind == "gauge" && reserved.iter().any(|suffix| name.ends_with(suffix))
    }
}

fn known_kind(kind: &str) -> &'static str {
    match kind {
        "counter" => "counter",
        "gauge" => "gauge",
        "histogram" => "histogram",
        "summary" => "summary",
        _ => "untyped",
    }
}

fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::Page;

    #[test]
    fn samples_of_one_family_stand_together_under_one_heading() {
        let mut page = Page::default();
        page.gauge("b", "The b.", &[("l", "x\"y")], 1.0);
        page.counter("a_total", "The a.", &[], 2.0);
        page.gauge("b", "The b.", &[("l", "z")], 3.5);
        let expected = "# HELP a_total The a.\n# TYPE a_total counter\na_total 2\n\
            # HELP b The b.\n# TYPE b gauge\nb{l=\"x\\\"y\"} 1\nb{l=\"z\"} 3.5\n";
        assert_eq!(page.text(), expected);
    }

    #[test]
    fn only_the_asked_families_of_another_page_are_taken_over() {
        let mut page = Page::default();
        let other =
            "# HELP s_a A.\n# TYPE s_a gauge\ns_a 1\n# HELP t_b B.\n# TYPE t_b gauge\nt_b 2\n";
        page.add_text(other, "s_");
        assert_eq!(page.text(), "# HELP s_a A.\n# TYPE s_a gauge\ns_a 1\n");
    }
}
