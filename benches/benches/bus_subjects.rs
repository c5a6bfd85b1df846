//! What a subject costs: matched with a pattern, read as a topic and written as one, and passed
//! on among 10,000 patterns of one process. Beside each what one writes with the standard library
//! alone.
#![allow(
    clippy::print_stdout,
    reason = "criterion's groups, and the map's size"
)]

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion};
use swarm_bus::subject::PatternMap;
use swarm_bus::{Pattern, Raw, Subject, Token, Topic};

#[derive(Topic)]
#[topic("swarm.events.{node}.probe.{number}", payload = bytes::Bytes, codec = Raw)]
struct Probe {
    node: Token,
    number: u16,
}

/// A comparison token by token.
fn naive(pattern: &str, subject: &str) -> bool {
    let (mut ours, mut theirs) = (pattern.split('.'), subject.split('.'));
    loop {
        match (ours.next(), theirs.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(_)) => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

/// A topic read with `split` into strings of its own.
fn naive_parse(subject: &str) -> Option<(String, u16)> {
    let tokens: Vec<_> = subject.split('.').collect();
    match tokens.as_slice() {
        ["swarm", "events", node, "probe", number] => {
            Some(((*node).to_owned(), number.parse().ok()?))
        }
        _ => None,
    }
}

fn one_subject(criterion: &mut Criterion) {
    let subject = Subject::from_static("swarm.events.edge-7.probe.64000");
    let mut group = criterion.benchmark_group("bus_subjects/match");
    for text in [
        "swarm.events.*.probe.*",
        "swarm.events.>",
        "swarm.events.edge-7.probe.64000",
    ] {
        let pattern = Pattern::from_static(text);
        group.bench_with_input(
            BenchmarkId::new("pattern", text),
            &pattern,
            |bencher, pattern| {
                bencher.iter(|| black_box(pattern).matches(black_box(&subject)));
            },
        );
        group.bench_with_input(BenchmarkId::new("by split", text), text, |bencher, text| {
            bencher.iter(|| naive(black_box(text), black_box(subject.as_str())));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("bus_subjects/topic");
    let topic = Probe::parse(&subject).expect("it is of the family");
    group.bench_function("parse", |bencher| {
        bencher.iter(|| Probe::parse(black_box(&subject)).is_ok());
    });
    group.bench_function("parse by split", |bencher| {
        bencher.iter(|| naive_parse(black_box(subject.as_str())).is_some());
    });
    group.bench_function("subject", |bencher| {
        bencher.iter(|| black_box(&topic).subject());
    });
    group.bench_function("subject by format!", |bencher| {
        bencher.iter(|| {
            format!(
                "swarm.events.{}.probe.{}",
                black_box(&topic.node),
                topic.number
            )
        });
    });
    group.bench_function("check of a text", |bencher| {
        bencher.iter(|| Subject::parse(black_box("swarm.events.edge-7.probe.64000")).is_ok());
    });
    group.finish();
}

/// Patterns as a busy process has them: each node's own, each kind's own, some of everything.
fn patterns() -> Vec<Pattern> {
    (0..10_000)
        .map(|n| match n % 4 {
            0 => format!("swarm.events.node-{n}.>"),
            1 => format!("swarm.events.*.probe.{n}"),
            2 => format!("swarm.telemetry.node-{n}.*"),
            _ => format!("swarm.events.node-{}.probe.*", n / 40),
        })
        .map(|text| Pattern::parse(&text).expect("a pattern"))
        .collect()
}

fn ten_thousand(criterion: &mut Criterion) {
    let mut map = PatternMap::new();
    let mut lists: HashMap<usize, Vec<Pattern>> = HashMap::new();
    for (n, pattern) in patterns().into_iter().enumerate() {
        map.insert(&pattern, n);
        lists.entry(n % 64).or_default().push(pattern);
    }
    let subjects: Vec<_> = (0..64)
        .map(|n| format!("swarm.events.node-{}.probe.{}", n * 4, n * 4 + 1))
        .map(|text| Subject::parse(&text).expect("a subject"))
        .collect();
    let found: usize = subjects
        .iter()
        .map(|subject| map.matches(subject).len())
        .sum();
    println!(
        "{} patterns; a subject belongs to {} of them",
        map.len(),
        found / subjects.len()
    );
    let mut group = criterion.benchmark_group("bus_subjects/dispatch among 10,000 patterns");
    let mut next = subjects.iter().cycle();
    group.bench_function("map", |bencher| {
        bencher.iter(|| {
            let mut sum = 0;
            map.for_each(next.next().expect("a cycle"), |n| sum += n);
            sum
        });
    });
    group.sample_size(10);
    group.bench_function("every pattern in turn", |bencher| {
        bencher.iter(|| {
            let subject = next.next().expect("a cycle");
            let all = lists.values().flatten();
            all.filter(|pattern| pattern.matches(subject)).count()
        });
    });
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    one_subject(&mut criterion);
    ten_thousand(&mut criterion);
    criterion.final_summary();
}
