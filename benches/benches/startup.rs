//! How long the program takes to start: `swarm --version`, beside `nats-server --version`, a Go program of
//! the same field.
//!
//! Builds nothing: it runs `target/release/swarm`, or the file that `SWARM` names.
#![allow(clippy::print_stderr, reason = "a bench speaks to whoever runs it")]

use std::path::PathBuf;
use std::process::{Command, Stdio};

use criterion::{Criterion, criterion_group, criterion_main};

fn startup(criterion: &mut Criterion) {
    let swarm = std::env::var_os("SWARM").map_or_else(
        || concat!(env!("CARGO_MANIFEST_DIR"), "/../target/release/swarm").into(),
        PathBuf::from,
    );
    let mut group = criterion.benchmark_group("startup");
    for (name, program) in [
        ("swarm --version", swarm),
        ("nats-server --version", "nats-server".into()),
    ] {
        if run(&program).is_err() {
            // named, so that a table without it explains itself
            eprintln!("SKIPPED: {name}: {} cannot be run", program.display());
            continue;
        }
        group.bench_function(name, |bencher| bencher.iter(|| run(&program)));
    }
    group.finish();
}

fn run(program: &PathBuf) -> std::io::Result<std::process::ExitStatus> {
    Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
}

criterion_group!(benches, startup);
criterion_main!(benches);
