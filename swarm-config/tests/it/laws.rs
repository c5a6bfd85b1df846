//! Laws of reading and resolving, on texts made at random.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use swarm_config::{NodeId, Plan, SwarmFile, diff, lint};

fn setting(
    key: &'static str,
    value: impl Strategy<Value = String>,
) -> impl Strategy<Value = String> {
    of(value).prop_map(move |value| value.map_or_else(String::new, |v| format!("{key} = {v}\n")))
}

fn quoted(pattern: &'static str) -> impl Strategy<Value = String> {
    pattern.prop_map(|text| format!("\"{text}\""))
}

fn number(range: std::ops::RangeInclusive<u32>) -> impl Strategy<Value = String> {
    range.prop_map(|n| n.to_string())
}

/// A file of good form whose values need not fit each other.
fn swarm_toml() -> impl Strategy<Value = String> {
    let address = "10\\.77\\.[0-3]\\.[1-9]";
    let public = "203\\.0\\.113\\.[1-9]:[1-9][0-9]{1,3}";
    let node = (
        setting(
            "roles",
            prop_oneof![
                Just("[\"hub\"]".to_owned()),
                Just("[\"edge\", \"lab\"]".to_owned())
            ],
        ),
        setting("address", quoted(address)),
        setting("endpoint", quoted(public)),
        setting("enroll", quoted(public)),
        setting("leaf", any::<bool>().prop_map(|leaf| leaf.to_string())),
    );
    let node = node.prop_map(|(a, b, c, d, e)| a + &b + &c + &d + &e);
    let nodes = prop::collection::btree_map("[a-z][a-z0-9]{0,6}", node, 0..6);
    let swarm = (
        quoted("[a-z]{1,9}(\\.[a-z]{1,9})?"),
        setting("domain", quoted("[a-z]{1,9}\\.internal")),
        setting("network", quoted("10\\.77\\.0\\.0/(16|20|24)")),
        setting("network6", quoted("fd[0-9a-f]{2}:1::/64")),
    );
    let wireguard = (
        setting("port", number(1..=65_535)),
        setting("mtu", number(1280..=9000)),
        setting("keepalive", quoted("[1-9][0-9]?(s|m)")),
    );
    let nats = (
        setting("port", number(4000..=4010)),
        setting("monitor_port", number(4000..=4010)),
        setting("max_payload", quoted("[2-9](KiB|MiB|kB)")),
        setting("max_connections", number(1..=1000)),
    );
    let ca = (
        setting("node_lifetime", quoted("[1-9]{1,3}(d|h)")),
        setting("root_lifetime", quoted("[1-9]{1,4}d")),
    );
    (swarm, nodes, wireguard, nats, ca).prop_map(|(swarm, nodes, w, n, c)| {
        let mut text = format!(
            "[swarm]\nname = {}\n{}{}{}",
            swarm.0, swarm.1, swarm.2, swarm.3
        );
        for (id, node) in nodes {
            text += &format!("[nodes.{id}]\n{node}");
        }
        text + &format!(
            "[wireguard]\n{}{}{}[nats]\n{}{}{}{}[ca]\n{}{}",
            w.0, w.1, w.2, n.0, n.1, n.2, n.3, c.0, c.1
        )
    })
}

proptest! {
    #[test]
    fn a_file_reads_back_what_it_writes(text in swarm_toml()) {
        let file = SwarmFile::parse(&text).unwrap();
        let written = file.to_string();
        let again = SwarmFile::parse(&written).unwrap();
        prop_assert_eq!(&again, &file, "{}", written);
        prop_assert_eq!(again.to_string(), written);
    }

    #[test]
    fn a_plan_gives_every_node_addresses_of_its_own_inside_the_mesh(text in swarm_toml()) {
        let Ok(plan) = Plan::parse(&text) else { return Ok(()) };
        let addresses: BTreeSet<_> = plan.nodes().map(|node| node.addresses).collect();
        prop_assert_eq!(addresses.len(), plan.nodes().len());
        for at in &addresses {
            prop_assert!(plan.mesh().v4().contains(&at.v4) && plan.mesh().v6().contains(&at.v6));
        }
        prop_assert!(plan.hubs().all(|hub| hub.endpoint.is_some() && hub.enroll.is_some()));
        prop_assert!(diff::plans(&plan, &plan).is_empty());
        let _ = lint::plan(&plan);
    }

    #[test]
    fn nodes_with_known_addresses_stay_where_they_are(text in swarm_toml(), new in "n[0-9]{8}") {
        let Ok(plan) = Plan::parse(&text) else { return Ok(()) };
        let known: BTreeMap<NodeId, Ipv4Addr> =
            plan.nodes().map(|node| (node.id.clone(), node.addresses.v4)).collect();
        // A new first node would otherwise shift all that come after.
        let more = format!("[nodes.{new}]\n{}", text.replacen("[nodes.", "\n[nodes.", 1));
        let resolved = SwarmFile::parse(&more).unwrap().resolve(&known).unwrap();
        for node in plan.nodes() {
            prop_assert_eq!(Some(node), resolved.node(&node.id));
        }
        prop_assert_eq!(resolved.nodes().len(), plan.nodes().len() + 1);
    }

    #[test]
    fn arbitrary_text_never_panics_and_problems_name_places_in_it(text in any::<String>()) {
        check_places(&text)?;
    }

    #[test]
    fn damaged_text_never_panics_and_problems_name_places_in_it(
        text in swarm_toml(),
        damage in vec((any::<prop::sample::Index>(), any::<char>()), 1..4),
    ) {
        let mut chars: Vec<char> = text.chars().collect();
        for (index, character) in damage {
            let index = index.index(chars.len());
            chars[index] = character;
        }
        check_places(&chars.into_iter().collect::<String>())?;
    }

    #[test]
    fn arbitrary_files_are_looked_at_without_panic(text in any::<String>()) {
        let _ = (lint::nats(&text), lint::synapse(&text), lint::wireguard(&text));
    }
}

fn check_places(text: &str) -> Result<(), TestCaseError> {
    let Err(problems) = Plan::parse(text) else {
        return Ok(());
    };
    prop_assert!(!problems.as_slice().is_empty());
    let lines: Vec<&str> = text.split('\n').collect();
    for problem in &problems {
        prop_assert!((1..=lines.len()).contains(&problem.line), "{problem}");
        let columns = lines[problem.line - 1].chars().count() + 1;
        prop_assert!((1..=columns).contains(&problem.column), "{problem}");
    }
    Ok(())
}

/// Every text that a fuzzer or a bug report left behind.
#[test]
fn the_corpus_is_read_without_panic() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/config_toml");
    let Ok(entries) = std::fs::read_dir(corpus) else {
        eprintln!("SKIPPED: the_corpus_is_read_without_panic: no corpus beside the crate");
        return;
    };
    let mut count = 0;
    for entry in entries {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        check_places(&text).unwrap();
        let _ = (
            lint::nats(&text),
            lint::synapse(&text),
            lint::wireguard(&text),
        );
        count += 1;
    }
    assert!(count > 0);
}
