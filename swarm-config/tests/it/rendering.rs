//! What is rendered, word for word.

use swarm_config::{RenderError, Renderer, Scrape, lint};

use crate::fixture::{id, layout, login_key, members, plan};

#[test]
fn the_files_of_a_hub_are_these() {
    let (plan, layout, node) = (plan(), layout("/opt/sovereign-swarm"), id("command0"));
    let members = members(&plan);
    let files = Renderer::new(&plan, &layout, &node, &members)
        .all(Some(&login_key()))
        .unwrap();
    let paths: Vec<_> = files.iter().map(|file| (file.path, file.mode)).collect();
    assert_eq!(
        paths,
        [
            ("matrix/homeserver.yaml", 0o600),
            ("matrix/log.yaml", 0o600),
            ("nats/nats-server.conf", 0o600),
            ("prometheus/scrape.yml", 0o644),
            ("systemd/swarm.service", 0o644),
            ("wireguard/wg0.conf", 0o600),
        ]
    );
    for file in &files {
        insta::assert_snapshot!(file.path.replace('/', "-"), file.contents);
    }
}

#[test]
fn an_edge_runs_neither_the_bus_nor_the_rooms() {
    let (plan, layout, node) = (plan(), layout("/opt/sovereign-swarm"), id("edge1"));
    let members = members(&plan);
    let renderer = Renderer::new(&plan, &layout, &node, &members);
    let files = renderer.all(Some(&login_key())).unwrap();
    let paths: Vec<_> = files.iter().map(|file| file.path).collect();
    assert_eq!(
        paths,
        [
            "prometheus/scrape.yml",
            "systemd/swarm.service",
            "wireguard/wg0.conf"
        ]
    );
    insta::assert_snapshot!("edge-wg0.conf", files[2].contents);
    assert_eq!(
        renderer.nats(),
        Err(RenderError::NotPrimary { id: node.clone() })
    );
    assert_eq!(
        renderer.synapse(&login_key()),
        Err(RenderError::NotPrimary { id: node.clone() })
    );
}

#[test]
fn prometheus_can_scrape_every_member_across_the_mesh() {
    let (plan, layout, node) = (plan(), layout("/opt/sovereign-swarm"), id("command0"));
    let members = members(&plan);
    let mut renderer = Renderer::new(&plan, &layout, &node, &members);
    renderer.scrape = Scrape::Mesh;
    insta::assert_snapshot!("mesh-scrape.yml", renderer.prometheus().unwrap().contents);
}

#[test]
fn the_order_of_members_does_not_matter() {
    let (plan, layout, node) = (plan(), layout("/opt/sovereign-swarm"), id("command0"));
    let members = members(&plan);
    let reversed: Vec<_> = members.iter().rev().cloned().collect();
    let render = |members| Renderer::new(&plan, &layout, &node, members).all(Some(&login_key()));
    assert_eq!(render(&members), render(&reversed));
}

#[test]
fn what_is_rendered_has_no_warning() {
    let (plan, layout, node) = (plan(), layout("/opt/sovereign-swarm"), id("command0"));
    let members = members(&plan);
    for file in Renderer::new(&plan, &layout, &node, &members)
        .all(Some(&login_key()))
        .unwrap()
    {
        assert_eq!(lint::file(&file), [], "{}", file.path);
    }
}

#[test]
fn a_bus_without_the_node_itself_is_not_rendered() {
    let (plan, layout, node) = (plan(), layout("/opt/sovereign-swarm"), id("command0"));
    let mut members = members(&plan);
    members.retain(|member| member.id != node);
    let renderer = Renderer::new(&plan, &layout, &node, &members);
    assert_eq!(
        renderer.nats(),
        Err(RenderError::NotAMember { id: node.clone() })
    );
    assert_eq!(
        renderer.wireguard(),
        Err(RenderError::NotAMember { id: node.clone() })
    );
}

#[test]
fn two_members_of_one_name_are_refused() {
    let (plan, layout, node) = (plan(), layout("/opt/sovereign-swarm"), id("command0"));
    let mut twice = members(&plan);
    twice.push(twice[0].clone());
    let renderer = Renderer::new(&plan, &layout, &node, &twice);
    assert_eq!(
        renderer.nats(),
        Err(RenderError::DuplicateMember { id: id("edge2") })
    );

    let mut same_user = members(&plan);
    same_user[0].nats_user = same_user[2].nats_user.clone();
    let renderer = Renderer::new(&plan, &layout, &node, &same_user);
    let error = renderer.nats().unwrap_err();
    assert!(
        matches!(error, RenderError::DuplicateUser { .. }),
        "{error}"
    );
}

#[test]
fn members_without_an_address_or_key_of_their_own_are_no_peers() {
    let (plan, layout, node) = (plan(), layout("/opt/sovereign-swarm"), id("command0"));
    let refuse = |change: fn(&mut Vec<swarm_config::Member>)| {
        let mut members = members(&plan);
        change(&mut members);
        let renderer = Renderer::new(&plan, &layout, &node, &members);
        assert!(renderer.nats().is_ok(), "the bus is not held up by it");
        renderer.wireguard().unwrap_err().to_string()
    };
    assert_eq!(
        refuse(|m| m[0].addresses.clear()),
        "edge2 has no address in the mesh"
    );
    assert_eq!(
        refuse(|m| m[0].addresses = m[2].addresses.clone()),
        "edge1 and edge2 have the same address, 10.77.0.21"
    );
    assert_eq!(
        refuse(|m| m[0].wireguard_public_key = m[2].wireguard_public_key.clone()),
        "edge1 and edge2 have the same WireGuard key"
    );
}
