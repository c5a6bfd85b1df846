//! What `nats-server -t` does not say.

use super::nats_conf::{Kind, Value, parse};
use super::{Warning, is_loopback};
use crate::value::NatsSubject;

/// Listeners besides the ordinary one that let clients in.
const OTHER_LISTENERS: [&str; 3] = ["websocket", "leafnodes", "mqtt"];

/// Warnings about the text of a `nats-server.conf`.
#[must_use]
pub fn nats(text: &str) -> Vec<Warning> {
    match parse(text) {
        Err((line, why)) => {
            vec![Warning::new(
                "nats-unreadable",
                "nats-server.conf",
                Some(line),
                why,
            )]
        }
        Ok(conf) => {
            let mut found = Vec::new();
            includes(&conf, &mut found);
            listeners(&conf, &mut found);
            monitoring(&conf, &mut found);
            tls(&conf, &mut found);
            jetstream(&conf, &mut found);
            leafnodes(&conf, &mut found);
            users(&conf, &mut found);
            found.sort_by_key(|warning| warning.line);
            found
        }
    }
}

fn warn(
    found: &mut Vec<Warning>,
    rule: &'static str,
    subject: &str,
    at: Option<&Value>,
    message: &str,
) {
    found.push(Warning::new(
        rule,
        subject,
        at.map(|value| value.line),
        message,
    ));
}

fn includes(conf: &Value, found: &mut Vec<Warning>) {
    if let Some(at) = conf.get(&["include"]) {
        let message = "what stands in another file is not looked at";
        warn(found, "nats-include", "include", Some(at), message);
    }
}

fn listeners(conf: &Value, found: &mut Vec<Warning>) {
    let listen = conf.get(&["listen"]);
    let host = conf.get(&["host", "net"]).and_then(Value::text);
    let address = listen.and_then(Value::text).or(host).unwrap_or_default();
    if is_everywhere(address) && host.is_none_or(is_everywhere) {
        let message = "the bus listens on every address of the machine, public ones too";
        warn(found, "nats-listens-everywhere", "listen", listen, message);
    }
    let port = conf.get(&["port"]).or(listen);
    if port.is_some_and(|at| at.text().is_some_and(has_bad_port)) {
        let message =
            "not a port from 1 to 65535: the server fails when it starts, not when it checks";
        warn(found, "nats-bad-port", "listen", port, message);
    }
    for name in OTHER_LISTENERS {
        let Some(block) = conf.get(&[name, name.trim_end_matches('s')]) else {
            continue;
        };
        // A leaf that only connects outwards lets nobody in.
        let listens = ["port", "listen", "host"]
            .iter()
            .any(|key| block.get(&[key]).is_some());
        let tls = block.get(&["tls"]);
        if listens && !tls.is_some_and(maps_certificates) {
            let message = "a client with no certificate is let in here as any user without a \
                           password (before nats-server 2.12.14): set verify_and_map in its tls block";
            warn(found, "nats-open-listener", name, Some(block), message);
        }
    }
}

/// Whether an address, or what stands before its port, is none or all.
fn is_everywhere(address: &str) -> bool {
    let host = match address.rsplit_once(':') {
        Some((host, _)) => host,
        None if address.bytes().all(|b| b.is_ascii_digit()) => "",
        None => address,
    };
    matches!(host.trim_matches(['[', ']']), "" | "0.0.0.0" | "::" | "*")
}

fn has_bad_port(text: &str) -> bool {
    let port = text.rsplit(':').next().unwrap_or_default();
    let number = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    // -1 is a port of the system's choice, for tests.
    number && port != "-1" && port.parse::<u16>().map_or(true, |port| port == 0)
}

fn monitoring(conf: &Value, found: &mut Vec<Warning>) {
    for key in [
        "http",
        "https",
        "http_port",
        "https_port",
        "monitor_port",
        "prof_port",
    ] {
        let Some(at) = conf.get(&[key]) else { continue };
        let host = conf
            .get(&["host", "net"])
            .and_then(Value::text)
            .unwrap_or_default();
        let address = at.text().unwrap_or_default();
        let address = if address.bytes().all(|b| b.is_ascii_digit()) {
            host
        } else {
            address
        };
        if !is_loopback(address) {
            let message = "monitoring asks for no certificate and lists every identity: put it on \
                           127.0.0.1";
            warn(found, "nats-open-monitoring", key, Some(at), message);
        }
    }
}

fn maps_certificates(tls: &Value) -> bool {
    tls.get(&["verify_and_map"]).is_some_and(Value::is_true)
}

fn tls(conf: &Value, found: &mut Vec<Warning>) {
    let Some(tls) = conf.get(&["tls"]) else {
        let message = "clients connect in the clear";
        return warn(found, "nats-no-tls", "tls", None, message);
    };
    let verifies = tls.get(&["verify"]).is_some_and(Value::is_true);
    if !maps_certificates(tls) {
        let message = if verifies {
            "certificates are asked for and then not looked at: set verify_and_map"
        } else {
            "no client certificate is asked for: set verify_and_map"
        };
        warn(
            found,
            "nats-unmapped",
            "tls.verify_and_map",
            Some(tls),
            message,
        );
    }
    if (verifies || maps_certificates(tls)) && tls.get(&["ca_file"]).is_none() {
        let message = "without ca_file every public authority of the system may name a user";
        warn(
            found,
            "nats-system-authorities",
            "tls.ca_file",
            Some(tls),
            message,
        );
    }
}

fn jetstream(conf: &Value, found: &mut Vec<Warning>) {
    let Some(jetstream) = conf.get(&["jetstream"]) else {
        return;
    };
    if conf.get(&["server_name"]).is_none() {
        let message = "with JetStream a server needs a name that stays: a made-up one changes at \
                       each start";
        warn(
            found,
            "nats-no-server-name",
            "server_name",
            Some(jetstream),
            message,
        );
    }
    let store = jetstream
        .get(&["store_dir", "storedir", "store"])
        .or(conf.get(&["store_dir"]));
    match store.and_then(Value::text) {
        None => {
            let message = "streams go to a temporary directory and are lost at a reboot";
            warn(
                found,
                "nats-temporary-store",
                "jetstream.store_dir",
                Some(jetstream),
                message,
            );
        }
        Some(path) if !path.starts_with(['/', '$']) => {
            let message = "a relative path depends on where the server is started";
            warn(
                found,
                "nats-relative-store",
                "jetstream.store_dir",
                store,
                message,
            );
        }
        Some(_) => {}
    }
}

/// What stands about leaf nodes, on either side of the link.
fn leafnodes(conf: &Value, found: &mut Vec<Warning>) {
    let Some(block) = conf.get(&["leafnodes", "leafnode"]) else {
        return;
    };
    let remotes = block
        .get(&["remotes"])
        .map(Value::items)
        .unwrap_or_default();
    for remote in remotes {
        let url = remote.get(&["url", "urls"]);
        let name = url.and_then(Value::text).unwrap_or("leafnodes.remotes");
        match remote.get(&["tls"]) {
            None => {
                let message = "the hub is not asked who it is, and the link may be in the clear: give it a \
                               tls block";
                warn(found, "nats-clear-link", name, Some(remote), message);
            }
            Some(tls) if tls.get(&["ca_file"]).is_none() => {
                let message =
                    "without ca_file every public authority of the system may name the hub";
                warn(found, "nats-system-authorities", name, Some(tls), message);
            }
            Some(_) => {}
        }
    }
    if let (false, Some(jetstream)) = (remotes.is_empty(), conf.get(&["jetstream"]))
        && jetstream.get(&["domain"]).is_none()
    {
        let message = "without a domain of its own a leaf node's JetStream is the hub's: it stores nothing \
                       while the link is down";
        let subject = "jetstream.domain";
        warn(found, "nats-no-domain", subject, Some(jetstream), message);
    }
    let users = block
        .get(&["authorization"])
        .and_then(|a| a.get(&["users"]));
    if let Some(users) = users {
        let message = "such users have no permissions: name them in accounts, with \
                       allowed_connection_types";
        let subject = "leafnodes.authorization";
        warn(found, "nats-unlimited-link", subject, Some(users), message);
    }
    let accounts = conf.get(&["accounts"]).into_iter();
    for (name, account) in accounts.flat_map(Value::entries) {
        let users = account
            .get(&["users"])
            .map(Value::items)
            .unwrap_or_default();
        let is_link = |user: &&Value| {
            let kinds = user.get(&["allowed_connection_types"]);
            let kinds = kinds.map(Value::items).unwrap_or_default();
            kinds
                .iter()
                .filter_map(Value::text)
                .any(|kind| kind.eq_ignore_ascii_case("LEAFNODE"))
        };
        if let (Some(link), 2..) = (users.iter().find(is_link), users.len()) {
            let message = "what a link may publish is left to the server at its other end (seen with \
                           nats-server 2.9.10): give it an account of its own";
            warn(found, "nats-shared-account", name, Some(link), message);
        }
    }
}

fn users(conf: &Value, found: &mut Vec<Warning>) {
    let mut count = 0;
    let accounts = conf.get(&["accounts"]);
    if let Some(name) = conf.get(&["system_account", "system"]) {
        let known = accounts.is_some_and(|a| a.get(&[name.text().unwrap_or_default()]).is_some());
        if !known && name.text() != Some("$SYS") {
            let message = "no account has this name";
            warn(
                found,
                "nats-no-such-account",
                "system_account",
                Some(name),
                message,
            );
        }
    }
    if let Some(at) = conf.get(&["no_auth_user"]) {
        let message = "whoever shows nothing is this user";
        warn(found, "nats-open-user", "no_auth_user", Some(at), message);
    }
    let blocks = conf.get(&["authorization"]).into_iter();
    let blocks = blocks.chain(
        accounts
            .iter()
            .flat_map(|a| a.entries())
            .map(|(_, account)| account),
    );
    let others = OTHER_LISTENERS
        .iter()
        .any(|name| conf.get(&[name]).is_some());
    for block in blocks {
        let defaults = block.get(&["default_permissions"]).is_some();
        for user in block.get(&["users"]).map(Value::items).unwrap_or_default() {
            count += 1;
            check_user(user, defaults, others, found);
        }
        count += usize::from(block.get(&["user", "token"]).is_some());
        count += usize::from(block.get(&["auth_callout"]).is_some());
    }
    if count == 0 && conf.get(&["operator", "resolver"]).is_none() {
        let message = "with no user every client is let in, and may do everything";
        let at = accounts.or(conf.get(&["authorization"]));
        warn(found, "nats-no-users", "users", at, message);
    }
}

fn check_user(user: &Value, defaults: bool, other_listeners: bool, found: &mut Vec<Warning>) {
    let name = user
        .get(&["user", "nkey"])
        .and_then(Value::text)
        .unwrap_or("a user");
    if other_listeners && user.get(&["allowed_connection_types"]).is_none() {
        let message = "may come in by every kind of listener: set allowed_connection_types";
        warn(found, "nats-any-connection", name, Some(user), message);
    }
    let Some(permissions) = user.get(&["permissions", "authorization"]) else {
        if !defaults {
            let message = "without permissions a user may do everything";
            warn(found, "nats-unlimited-user", name, Some(user), message);
        }
        return;
    };
    for names in [["publish", "pub"], ["subscribe", "sub"]] {
        let rules = permissions.get(&names);
        let responds = permissions
            .get(&["allow_responses", "allow_response"])
            .is_some();
        let allow = match rules.map(|rules| (&rules.kind, rules)) {
            Some((Kind::Map(_), rules)) => rules.get(&["allow"]),
            Some((_, rules)) => Some(rules),
            None => None,
        };
        let deny = rules.and_then(|rules| rules.get(&["deny"]));
        let denies = deny.is_some_and(|deny| !deny.items().is_empty());
        let allows = allow.is_some_and(|allow| !allow.items().is_empty());
        let by_default = names[0] == "publish" && responds;
        if !allows && !denies && !by_default {
            let message = format!("may {} everything: no list means all subjects", names[0]);
            warn(
                found,
                "nats-unlimited-user",
                name,
                Some(permissions),
                &message,
            );
        }
        let subjects = [allow, deny].into_iter().flatten().flat_map(Value::items);
        for at in subjects {
            let Some(text) = at.text() else { continue };
            let subject = text.split_whitespace().next().unwrap_or_default();
            if NatsSubject::parse(subject).is_err() {
                let message = "not a subject: a wildcard stands alone between dots, and the rule \
                               never fits anything";
                warn(found, "nats-bad-subject", text, Some(at), message);
            }
        }
        let inbox = allow
            .into_iter()
            .flat_map(Value::items)
            .find(|at| at.text() == Some("_INBOX.>"));
        if let (Some(at), "subscribe") = (inbox, names[0]) {
            let message =
                "reads the replies to everybody: give each user an inbox prefix of its own";
            warn(found, "nats-shared-inbox", name, Some(at), message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
server_name: hub
listen: 10.0.0.1:4222
http: 127.0.0.1:8222
tls { cert_file: a, key_file: b, ca_file: c, verify_and_map: true }
jetstream { store_dir: /srv/nats }
system_account: SYS
accounts { SYS {}, A { users: [
  { user: \"spiffe://s/node/a\", permissions: { publish: { deny: [\">\"] }, subscribe: { allow: [\"a\"] } } }
] } }
";

    fn rules(text: &str) -> Vec<&'static str> {
        nats(text).into_iter().map(|warning| warning.rule).collect()
    }

    #[test]
    fn a_good_configuration_has_no_warning() {
        assert_eq!(nats(GOOD), []);
    }

    #[test]
    fn each_rule_finds_what_it_is_for() {
        for (from, to, rule) in [
            (
                "listen: 10.0.0.1:4222",
                "listen: 0.0.0.0:4222",
                "nats-listens-everywhere",
            ),
            (
                "listen: 10.0.0.1:4222",
                "port: 4222",
                "nats-listens-everywhere",
            ),
            (
                "listen: 10.0.0.1:4222",
                "listen: \"[::]:4222\"",
                "nats-listens-everywhere",
            ),
            ("10.0.0.1:4222", "10.0.0.1:70000", "nats-bad-port"),
            (
                "http: 127.0.0.1:8222",
                "http: 10.0.0.1:8222",
                "nats-open-monitoring",
            ),
            (
                "http: 127.0.0.1:8222",
                "http_port: 8222",
                "nats-open-monitoring",
            ),
            (", ca_file: c", "", "nats-system-authorities"),
            ("verify_and_map", "verify", "nats-unmapped"),
            ("tls {", "other {", "nats-no-tls"),
            ("server_name: hub", "", "nats-no-server-name"),
            ("store_dir: /srv/nats", "", "nats-temporary-store"),
            ("/srv/nats", "nats", "nats-relative-store"),
            (
                "system_account: SYS",
                "system_account: SIS",
                "nats-no-such-account",
            ),
            ("\"a\"", "\"n*de\"", "nats-bad-subject"),
            ("\"a\"", "\"_INBOX.>\"", "nats-shared-inbox"),
            ("[\"a\"]", "[]", "nats-unlimited-user"),
            (", permissions", ", x", "nats-unlimited-user"),
            ("jetstream {", "include 'x'\njetstream {", "nats-include"),
            (
                "jetstream {",
                "no_auth_user: x\njetstream {",
                "nats-open-user",
            ),
            ("] } }", "] }", "nats-unreadable"),
        ] {
            assert!(GOOD.contains(from), "{from}");
            assert_eq!(rules(&GOOD.replace(from, to)), [rule], "{to}");
        }
    }

    #[test]
    fn a_second_listener_needs_mapping_and_limited_users() {
        let open = format!("{GOOD}websocket {{ port: 8080 }}\n");
        assert_eq!(rules(&open), ["nats-any-connection", "nats-open-listener"]);
        let outward =
            format!("{GOOD}leafnodes {{ remotes: [{{ url: \"x\", tls {{ ca_file: c }} }}] }}\n")
                .replace("store_dir", "domain: a, store_dir")
                .replace("{ user", "{ allowed_connection_types: [\"STANDARD\"], user");
        assert_eq!(rules(&outward), [] as [&str; 0]);
    }

    #[test]
    fn a_link_needs_a_known_hub_a_domain_and_an_account_of_its_own() {
        let leaf = GOOD
            .replace("{ user", "{ allowed_connection_types: [\"STANDARD\"], user")
            .replace("store_dir", "domain: a, store_dir")
            + "leafnodes { remotes: [{ url: \"x\", tls { ca_file: c } }] }\n";
        assert_eq!(rules(&leaf), [] as [&str; 0]);
        for (from, to, rule) in [
            (", tls { ca_file: c }", "", "nats-clear-link"),
            ("tls { ca_file: c }", "tls {}", "nats-system-authorities"),
            ("domain: a, ", "", "nats-no-domain"),
        ] {
            assert_eq!(rules(&leaf.replace(from, to)), [rule], "{to}");
        }
        let hub = GOOD.replace("{ user", "{ allowed_connection_types: [\"STANDARD\"], user")
            + "leafnodes { listen: 10.0.0.1:7422, tls { verify_and_map: true } }\n";
        assert_eq!(rules(&hub), [] as [&str; 0]);
        let second = "{ user: \"spiffe://s/node/b\", allowed_connection_types: [\"LEAFNODE\"], \
                      permissions: { publish: \"b\", subscribe: \"b\" } }";
        let shared = hub.replace("\n] } }", &format!("\n{second}\n] }} }}"));
        assert_eq!(rules(&shared), ["nats-shared-account"]);
        let apart = hub.replace("\n] } }", &format!("\n] }}, B {{ users: [{second}] }} }}"));
        assert_eq!(rules(&apart), [] as [&str; 0]);
        let second = hub.replace("listen:", "authorization { users: [{ user: a }] }; listen:");
        assert!(rules(&second).contains(&"nats-unlimited-link"));
    }

    #[test]
    fn a_bus_without_users_is_an_open_bus() {
        let start = GOOD.find("accounts").unwrap();
        let text = format!(
            "{}accounts {{ SYS {{}}, A {{ users: [] }} }}",
            &GOOD[..start]
        );
        assert_eq!(rules(&text), ["nats-no-users"]);
    }
}
