//! What wg-quick takes without a word.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::Warning;

/// Warnings about the text of a `wg0.conf`.
#[must_use]
pub fn wireguard(text: &str) -> Vec<Warning> {
    let mut found = Vec::new();
    let mut keys: BTreeMap<&str, usize> = BTreeMap::new();
    let mut networks: Vec<(IpNet, usize)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let line = line.split('#').next().unwrap_or_default();
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let (key, value) = (key.trim(), value.trim());
        let mut warn = |rule, message: String| {
            found.push(Warning::new(rule, key, Some(number), message));
        };
        match key.to_ascii_lowercase().as_str() {
            "privatekey" => {
                let message = "whoever reads the file has the key: set it from a file of its own, by \
                               PostUp = wg set %i private-key <file>";
                warn("wireguard-inline-key", message.to_owned());
            }
            "saveconfig" if value.eq_ignore_ascii_case("true") => {
                let message = "wg-quick writes the file, private key and all, when it stops";
                warn("wireguard-saves", message.to_owned());
            }
            "endpoint" if value.parse::<SocketAddr>().is_err() => {
                let message = "a name is asked of an outside DNS server, once, at the start";
                warn("wireguard-named-endpoint", message.to_owned());
            }
            "publickey" => {
                if let Some(before) = keys.insert(value, number) {
                    let message = format!("the same key as in line {before}: both become one peer");
                    warn("wireguard-same-key", message);
                }
            }
            "allowedips" => {
                for text in value.split(',').map(str::trim) {
                    let host = || text.parse::<IpAddr>().ok().map(IpNet::from);
                    match text.parse().ok().or_else(host) {
                        Some(network) if network.prefix_len() == 0 => {
                            let message =
                                "takes all traffic of the machine, and any source address";
                            warn("wireguard-takes-all", message.to_owned());
                        }
                        Some(network) => networks.push((network.trunc(), number)),
                        None => warn("wireguard-not-a-network", format!("{text:?}")),
                    }
                }
            }
            _ => {}
        }
    }
    found.extend(overlaps(networks));
    found.sort_by_key(|warning| warning.line);
    found
}

/// Networks that hold others: sorted, one that holds another stands somewhere before it.
fn overlaps(mut networks: Vec<(IpNet, usize)>) -> Vec<Warning> {
    networks.sort_by_key(|(network, line)| (*network, *line));
    let mut found = Vec::new();
    let mut open: Vec<(IpNet, usize)> = Vec::new();
    for (network, line) in networks {
        while open
            .pop_if(|(outer, _)| !outer.contains(&network))
            .is_some()
        {}
        if let Some((outer, before)) = open.last().filter(|(_, before)| *before != line) {
            let message = if *outer == network {
                format!("{network} stands in line {before} already: the last one has it alone")
            } else {
                format!(
                    "{network} lies inside {outer} of line {before}, whose peer can take its place"
                )
            };
            found.push(Warning::new(
                "wireguard-overlap",
                "AllowedIPs",
                Some(line),
                message,
            ));
        }
        open.push((network, line));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Vec<(&'static str, usize)> {
        wireguard(text)
            .into_iter()
            .map(|w| (w.rule, w.line.unwrap()))
            .collect()
    }

    #[test]
    fn each_rule_finds_what_it_is_for() {
        assert_eq!(rules("PrivateKey = x"), [("wireguard-inline-key", 1)]);
        assert_eq!(rules("\nSaveConfig=true"), [("wireguard-saves", 2)]);
        assert_eq!(rules("SaveConfig=false # PrivateKey = x"), []);
        assert_eq!(
            rules("Endpoint = a.example:51820"),
            [("wireguard-named-endpoint", 1)]
        );
        assert_eq!(rules("Endpoint = 192.0.2.1:51820"), []);
        assert_eq!(
            rules("PublicKey = a\nPublicKey = a"),
            [("wireguard-same-key", 2)]
        );
        assert_eq!(rules("AllowedIPs = ::/0"), [("wireguard-takes-all", 1)]);
        assert_eq!(
            rules("AllowedIPs = 10.0.0/8"),
            [("wireguard-not-a-network", 1)]
        );
    }

    #[test]
    fn a_network_inside_that_of_another_peer_is_found_in_any_order() {
        for text in [
            "AllowedIPs = 10.0.0.0/8, fd00::1\nAllowedIPs = 10.1.0.1/32",
            "AllowedIPs = 10.0.0.0/8\nAllowedIPs = 9.0.0.0/8, 10.1.2.3",
            "AllowedIPs = 10.0.0.1/32\nAllowedIPs = 10.0.0.1/32",
        ] {
            assert_eq!(rules(text), [("wireguard-overlap", 2)], "{text}");
        }
        assert_eq!(
            rules("AllowedIPs = 10.1.0.1\nAllowedIPs = 10.0.0.0/8"),
            [("wireguard-overlap", 1)]
        );
        assert_eq!(
            rules("AllowedIPs = 10.0.0.0/8, 10.1.0.0/16\nAllowedIPs = 11.0.0.1"),
            []
        );
    }
}
