//! Any text, read as `swarm.toml` and looked at as each of the files that the linter knows.
//!
//! A text is refused or makes a plan; whatever reads is written back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swarm_config::{Plan, SwarmFile, diff, lint};

fuzz_target!(|text: &str| {
    match SwarmFile::parse(text) {
        Ok(file) => {
            let written = file.to_string();
            assert_eq!(SwarmFile::parse(&written).as_ref(), Ok(&file), "{written}");
        }
        Err(problems) => {
            let lines = text.split('\n').count();
            for problem in &problems {
                assert!((1..=lines).contains(&problem.line), "{problem}");
            }
            assert!(problems.to_string().len() < 1 << 20);
        }
    }
    if let Ok(plan) = Plan::parse(text) {
        assert!(diff::plans(&plan, &plan).is_empty());
        let _ = lint::plan(&plan);
    }
    let _ = (lint::nats(text), lint::synapse(text), lint::wireguard(text));
});
