//! Who gets which address: stated ones first, then known ones, then free ones.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::key;
use crate::address::{AddressError, Addresses, MeshNetwork};
use crate::error::ProblemKind;
use crate::model::{NodeSection, SwarmFile};
use crate::parse::Draft;
use crate::plan::NodePlan;
use crate::value::NodeId;

/// Addresses given so far.
struct Places<'a> {
    mesh: &'a MeshNetwork,
    nodes: BTreeMap<&'a NodeId, &'a NodeSection>,
    owners: BTreeMap<Ipv4Addr, &'a NodeId>,
    placed: BTreeMap<&'a NodeId, Addresses>,
}

impl SwarmFile {
    pub(super) fn place_nodes(
        &self,
        mesh: &MeshNetwork,
        known: &BTreeMap<NodeId, Ipv4Addr>,
        found: &mut Vec<Draft>,
    ) -> BTreeMap<NodeId, NodePlan> {
        let nodes = self
            .nodes
            .iter()
            .map(|node| (&node.id.value, node))
            .collect();
        let mut places = Places {
            mesh,
            nodes,
            owners: BTreeMap::new(),
            placed: BTreeMap::new(),
        };
        for node in &self.nodes {
            places.place_stated(node, found);
        }
        for (id, address) in known {
            places.place_known(id, *address, found);
        }
        let (hubs, others): (Vec<_>, Vec<_>) = self.nodes.iter().partition(|node| node.is_hub());
        places.place_rest(hubs.into_iter().chain(others), found);
        let Places { nodes, placed, .. } = places;
        placed
            .into_iter()
            .map(|(id, addresses)| (id.clone(), nodes[id].plan(addresses)))
            .collect()
    }
}

impl<'a> Places<'a> {
    fn place_stated(&mut self, node: &'a NodeSection, found: &mut Vec<Draft>) {
        let Some(at) = &node.address else { return };
        let id = &node.id.value;
        let taken = self.owners.insert(at.value, id);
        let fits = self
            .mesh
            .addresses(at.value)
            .and_then(|addresses| match taken {
                Some(other) => Err(AddressError::Taken {
                    address: at.value,
                    other: other.clone(),
                }),
                None => Ok(addresses),
            });
        match fits {
            Ok(addresses) => {
                self.placed.insert(id, addresses);
            }
            Err(error) => {
                found.push(
                    at.place
                        .problem(key(id, "address"), ProblemKind::Address(error)),
                );
            }
        }
    }

    fn place_known(&mut self, id: &'a NodeId, address: Ipv4Addr, found: &mut Vec<Draft>) {
        let node = self.nodes.get(id);
        if node.is_some_and(|node| node.address.is_some()) {
            return;
        }
        if let Some(owner) = self.owners.get(&address) {
            // Stated for one node in the file and held by another already.
            if let Some(at) = self.nodes.get(owner).and_then(|node| node.address.as_ref()) {
                let error = AddressError::Taken {
                    address,
                    other: id.clone(),
                };
                found.push(
                    at.place
                        .problem(key(owner, "address"), ProblemKind::Address(error)),
                );
            }
            return;
        }
        self.owners.insert(address, id);
        // A known address outside a network that has changed is given up.
        if let (Some(node), Ok(addresses)) = (node, self.mesh.addresses(address)) {
            self.placed.insert(&node.id.value, addresses);
        }
    }

    fn place_rest(&mut self, nodes: impl Iterator<Item = &'a NodeSection>, found: &mut Vec<Draft>) {
        let taken: BTreeSet<Ipv4Addr> = self.owners.keys().copied().collect();
        let mut floor = self.mesh.v4().network();
        for node in nodes {
            let id = &node.id.value;
            if node.address.is_some() || self.placed.contains_key(id) {
                continue;
            }
            match self.mesh.allocate_after(floor, &taken, id) {
                Ok(addresses) => {
                    floor = addresses.v4;
                    self.placed.insert(id, addresses);
                }
                Err(error) => {
                    let kind = ProblemKind::Address(error);
                    found.push(node.id.place.problem(format!("nodes.{id}"), kind));
                    // The network is full: nobody after gets more.
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HUB: &str = "swarm.name = \"swarm\"\nnodes.hub0 = { roles = [\"hub\"], endpoint = \"192.0.2.1:51820\" }\n";

    fn id(text: &str) -> NodeId {
        NodeId::parse(text).unwrap()
    }

    fn resolve(more: &str, known: &[(&str, [u8; 4])]) -> Result<Vec<String>, String> {
        let known = known
            .iter()
            .map(|(name, at)| (id(name), Ipv4Addr::from(*at)))
            .collect();
        let plan = SwarmFile::parse(&format!("{HUB}{more}"))
            .unwrap()
            .resolve(&known);
        let plan = plan.map_err(|problems| problems.to_string())?;
        Ok(plan
            .nodes()
            .map(|node| format!("{} {}", node.id, node.addresses.v4))
            .collect())
    }

    #[test]
    fn hubs_come_first_and_others_in_the_order_of_the_text() {
        let more =
            "[nodes.z]\n[nodes.a]\n[nodes.hub1]\nroles = [\"hub\"]\nendpoint = \"192.0.2.2:1\"";
        let places = resolve(more, &[]).unwrap();
        assert_eq!(
            places,
            [
                "a 10.77.0.4",
                "hub0 10.77.0.1",
                "hub1 10.77.0.2",
                "z 10.77.0.3"
            ]
        );
    }

    #[test]
    fn what_is_known_stays_and_is_given_to_nobody_else() {
        let known = [
            ("hub0", [10, 77, 0, 9]),
            ("invited", [10, 77, 0, 1]),
            ("b", [10, 77, 0, 2]),
        ];
        let places = resolve("[nodes.a]\n[nodes.b]", &known).unwrap();
        assert_eq!(places, ["a 10.77.0.3", "b 10.77.0.2", "hub0 10.77.0.9"]);
    }

    #[test]
    fn a_stated_address_goes_before_a_known_one_but_not_another_nodes() {
        let places = resolve("nodes.a.address = \"10.77.0.5\"", &[("a", [10, 77, 0, 2])]).unwrap();
        assert_eq!(places[0], "a 10.77.0.5");
        let error = resolve(
            "nodes.a.address = \"10.77.0.5\"",
            &[("invited", [10, 77, 0, 5])],
        );
        let error = error.unwrap_err();
        assert!(
            error.contains("10.77.0.5 is the address of invited"),
            "{error}"
        );
    }

    #[test]
    fn a_known_address_outside_the_network_is_given_up() {
        let places = resolve("", &[("hub0", [10, 78, 0, 1])]).unwrap();
        assert_eq!(places, ["hub0 10.77.0.1"]);
    }
}
