//! Headers that end at the front, and headers that the front alone may set.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::Rules;
use crate::NodeCertificate;

/// Headers about one hop (RFC 9110, 7.6.1), with the older ones that clients still send.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// Headers by which some frameworks take a path from the caller over the path of the request.
const REROUTING: [&str; 3] = ["x-original-url", "x-original-uri", "x-rewrite-url"];

/// Removes the hop-by-hop headers and those that `Connection` names, and returns the protocol of a
/// wanted upgrade.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) -> Option<HeaderValue> {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let upgrade = headers
        .get(header::UPGRADE)
        .filter(|_| named.contains(&header::UPGRADE))
        .cloned();
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
    headers.remove("proxy-connection");
    upgrade
}

/// Asks for, or confirms, a change of protocol.
pub(super) fn set_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol);
}

/// Replaces everything that says who is calling by what the front knows of it.
pub(super) fn set_identity(
    headers: &mut HeaderMap,
    rules: &Rules,
    certificate: &NodeCertificate,
    address: IpAddr,
) {
    let forged: Vec<HeaderName> = headers
        .keys()
        .filter(|name| speaks_of_identity(name, rules))
        .cloned()
        .collect();
    for name in forged {
        headers.remove(name);
    }
    let roles: Vec<&str> = certificate
        .identity()
        .roles
        .iter()
        .map(|role| role.as_str())
        .collect();
    for (name, value) in [
        (&rules.identity_header, certificate.id().as_str()),
        (&rules.roles_header, &roles.join(",")),
        (
            &HeaderName::from_static("x-forwarded-for"),
            &address.to_canonical().to_string(),
        ),
        (&HeaderName::from_static("x-forwarded-proto"), "https"),
    ] {
        let value = HeaderValue::from_str(value).expect("names and addresses are plain ASCII");
        headers.insert(name, value);
    }
}

fn speaks_of_identity(name: &HeaderName, rules: &Rules) -> bool {
    // Services behind CGI and WSGI cannot tell `_` from `-`.
    let plain = |name: &HeaderName| name.as_str().replace('_', "-");
    let this = plain(name);
    this == plain(&rules.identity_header)
        || this == plain(&rules.roles_header)
        || this.starts_with("x-swarm-")
        || this.starts_with("x-forwarded-")
        || this == "forwarded"
        || this == "x-real-ip"
        || REROUTING.contains(&this.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hop_by_hop_headers_and_those_named_by_connection_end_here() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Secret"),
            ("connection", "Upgrade"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("x-secret", "1"),
            ("accept", "*/*"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        assert_eq!(strip_hop_by_hop(&mut headers).unwrap(), "websocket");
        assert_eq!(headers.len(), 1);
        assert!(headers.contains_key("accept"));
    }

    #[test]
    fn an_upgrade_that_connection_does_not_name_is_none() {
        let mut headers = HeaderMap::new();
        headers.insert(header::UPGRADE, HeaderValue::from_static("h2c"));
        assert_eq!(strip_hop_by_hop(&mut headers), None);
        assert!(headers.is_empty());
    }
}
