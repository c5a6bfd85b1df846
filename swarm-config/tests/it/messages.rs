//! What an operator reads when something is wrong, word for word.

use swarm_config::Plan;

fn problems(text: &str) -> String {
    Plan::parse(text).unwrap_err().to_string()
}

const HUB: &str = "swarm.name = \"swarm\"\nnodes.hub0.roles = [\"hub\"]\nnodes.hub0.endpoint = \"192.0.2.1:51820\"\n";

#[test]
fn mistakes_of_form_are_told_all_at_once_with_their_places() {
    insta::assert_snapshot!(problems(
        r#"
[swarm]
nmae = "swarm"
netwrok = "10.77.0.0/16"
network6 = "10.0.0.0/8"

[hub.command0]
endpoint = "203.0.113.10:51820"

[nodes.Edge1]

[nodes.edge2]
address = "10.77.0.300"
roles = "edge"

[nodes.edge3]
roles = ["edge", "edge", 7, "two words"]
endpoint = "hub.example:51820"
enroll = "203.0.113.10"

[wireguard]
port = "51820"
mtu = 9001
keepalive = "25"

[nats.jetstream]
max_memory = 5
"bad\nkey" = true

[matrix]
port = 0
"#
    ));
}

#[test]
fn mistakes_of_one_value_against_another_are_told_all_at_once() {
    insta::assert_snapshot!(problems(
        r#"
[swarm]
name = "swarm"
network = "10.77.0.0/16"

[nodes.hub0]
roles = ["hub"]
endpoint = "10.77.3.4:51820"
enroll = "0.0.0.0:4222"

[nodes.hub1]
roles = ["hub"]

[nodes.edge1]
address = "10.77.0.21"
endpoint = "10.77.3.4:51820"

[nodes.edge2]
address = "10.77.0.21"
enroll = "203.0.113.10:7443"

[nodes.edge3]
address = "10.78.0.1"

[nodes.edge4]
address = "10.77.255.255"

[nats]
port = 8448

[ca]
node_lifetime = "900d"
"#
    ));
}

#[test]
fn a_text_that_is_not_toml_is_told_by_its_syntax() {
    insta::assert_snapshot!(problems(
        "[swarm]\nname = \"swarm\nnetwork = 10.77.0.0/16\n[nodes\n"
    ));
}

#[test]
fn networks_are_private_large_and_end_with_their_prefix() {
    for (network, told) in [
        ("10.77.1.0/16", "did you mean `10.77.0.0/16`?"),
        ("8.8.0.0/16", "not inside a private network"),
        ("10.0.0.0/7", "not inside a private network"),
        ("10.77.0.0/30", "too small a network"),
    ] {
        let text = problems(&format!("{HUB}swarm.network = \"{network}\""));
        assert!(
            text.contains(told) && text.starts_with("line 4, column 17"),
            "{text}"
        );
    }
    for (network, told) in [
        ("fd00::1/64", "did you mean `fd00::/64`?"),
        ("2001:db8::/64", "not inside a private network"),
        ("fd00::/97", "too small a network"),
    ] {
        let text = problems(&format!("{HUB}swarm.network6 = \"{network}\""));
        assert!(text.contains(told), "{text}");
    }
}

#[test]
fn a_network_that_is_full_says_who_found_no_place() {
    let mut text = format!("{HUB}swarm.network = \"10.77.0.0/29\"\n");
    for n in 0..6 {
        text += &format!("[nodes.edge{n}]\n");
    }
    let problems = problems(&text);
    assert!(
        problems.starts_with("line 10, column 8: nodes.edge5: no free address"),
        "{problems}"
    );
}

#[test]
fn a_swarm_without_a_hub_is_none() {
    let text = problems("[swarm]\nname = \"swarm\"\n[nodes.edge1]\n");
    assert!(text.contains("no node has the role \"hub\""), "{text}");
}

#[test]
fn an_empty_text_says_how_to_begin() {
    let text = problems("");
    assert!(
        text.starts_with("line 1, column 1: swarm: missing"),
        "{text}"
    );
}

#[test]
fn a_text_of_any_length_is_answered_briefly() {
    let long = problems(&format!("{HUB}#{}", "x".repeat(1 << 20)));
    assert!(long.contains("at most 1048576 are read"), "{long}");
    let many: String = (0..5000).map(|n| format!("k{n} = 1\n")).collect();
    let problems = problems(&many);
    assert!(
        problems.contains("\nand 4937 more") && problems.len() < 20_000,
        "{problems}"
    );
}
