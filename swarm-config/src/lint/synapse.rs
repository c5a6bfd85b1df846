//! What `python -m synapse.config` does not say.

use serde_norway::Value;

use super::{Warning, is_loopback};
use crate::parse::closest;

/// Keys that this crate writes and Synapse would not miss: it takes any key without a word, so a
/// slip of the pen leaves the default in place.
const KEYS: [&str; 44] = [
    "server_name",
    "public_baseurl",
    "pid_file",
    "log_config",
    "signing_key_path",
    "listeners",
    "enable_metrics",
    "database",
    "media_store_path",
    "max_upload_size",
    "jwt_config",
    "password_config",
    "enable_registration",
    "registration_shared_secret",
    "registration_shared_secret_path",
    "allow_guest_access",
    "enable_3pid_lookup",
    "require_auth_for_profile_requests",
    "federation_domain_whitelist",
    "trusted_key_servers",
    "suppress_key_server_warning",
    "ip_range_blocklist",
    "ip_range_whitelist",
    "push",
    "url_preview_enabled",
    "report_stats",
    "report_stats_endpoint",
    "presence",
    "max_event_delay_duration",
    "retention",
    "rc_message",
    "rc_registration",
    "rc_login",
    "rc_joins",
    "rc_joins_per_room",
    "rc_invites",
    "rc_room_creation",
    "rc_key_requests",
    "rc_delayed_event_mgmt",
    "macaroon_secret_key",
    "form_secret",
    "form_secret_path",
    "macaroon_secret_key_path",
    "experimental_features",
];

/// No `homeserver.yaml` is longer, in bytes, and reading YAML costs the square of its depth.
const TEXT_LIMIT: usize = 1 << 17;

/// Warnings about the text of a `homeserver.yaml`.
#[must_use]
pub fn synapse(text: &str) -> Vec<Warning> {
    if text.len() > TEXT_LIMIT {
        let message = "too long to be one";
        return vec![Warning::new(
            "synapse-unreadable",
            "homeserver.yaml",
            None,
            message,
        )];
    }
    let config: Value = match serde_norway::from_str(text) {
        Ok(config) => config,
        Err(error) => {
            let line = error.location().map(|at| at.line());
            let message = "not YAML, or the same key twice";
            return vec![Warning::new(
                "synapse-unreadable",
                "homeserver.yaml",
                line,
                message,
            )];
        }
    };
    let mut lint = Lint {
        text,
        config: &config,
        found: Vec::new(),
    };
    lint.mistyped();
    lint.listeners();
    lint.outside();
    lint.accounts();
    lint.secrets();
    lint.found.sort_by_key(|warning| warning.line);
    lint.found
}

struct Lint<'a> {
    text: &'a str,
    config: &'a Value,
    found: Vec<Warning>,
}

impl Lint<'_> {
    fn warn(&mut self, rule: &'static str, key: &str, message: &str) {
        // Values carry no place; a key at the beginning of a line does.
        let top = key.split(['.', '[']).next().unwrap_or_default();
        let begins = |line: &str| {
            line.strip_prefix(top)
                .is_some_and(|rest| rest.trim_start().starts_with(':'))
        };
        let line = self.text.lines().position(begins).map(|index| index + 1);
        self.found.push(Warning::new(rule, key, line, message));
    }

    fn is(&self, key: &str, expected: bool) -> bool {
        self.config.get(key).and_then(Value::as_bool) == Some(expected)
    }

    fn is_empty_list(&self, key: &str) -> bool {
        self.config
            .get(key)
            .and_then(Value::as_sequence)
            .is_some_and(Vec::is_empty)
    }

    fn mistyped(&mut self) {
        let Some(mapping) = self.config.as_mapping() else {
            return;
        };
        // As many keys as a file has; of one made up of slips the first are enough.
        for key in mapping.keys().filter_map(Value::as_str).take(500) {
            if KEYS.contains(&key) {
                continue;
            }
            if let Some(meant) = closest(key, KEYS).filter(|meant| is_slip(key, meant)) {
                let message = format!("Synapse knows no such key and says nothing; `{meant}`?");
                self.warn("synapse-mistyped-key", key, &message);
            }
        }
    }

    fn listeners(&mut self) {
        let listeners = self.config.get("listeners").and_then(Value::as_sequence);
        for (index, listener) in listeners.into_iter().flatten().enumerate() {
            let key = format!("listeners[{index}]");
            if listener.get("path").is_some() {
                continue;
            }
            let mut addresses = Vec::new();
            addresses.extend(listener.get("bind_address").and_then(Value::as_str));
            let many = listener.get("bind_addresses").and_then(Value::as_sequence);
            addresses.extend(many.into_iter().flatten().filter_map(Value::as_str));
            if addresses.is_empty() {
                let message = "without bind_addresses it listens on every address of the machine";
                self.warn("synapse-listens-everywhere", &key, message);
            } else if !addresses.iter().all(|address| is_loopback(address)) {
                let message = "Synapse asks for no client certificate: put it on loopback, behind a \
                               front that does";
                self.warn("synapse-open-listener", &key, message);
            }
            let resources = listener.get("resources").and_then(Value::as_sequence);
            let names = resources
                .into_iter()
                .flatten()
                .filter_map(|r| r.get("names"));
            let mut names = names
                .filter_map(Value::as_sequence)
                .flatten()
                .filter_map(Value::as_str);
            if names.any(|name| matches!(name, "federation" | "replication")) {
                let message = "serves other homeservers or workers, which a swarm has none of";
                self.warn("synapse-federates", &key, message);
            }
        }
        // YAML readers differ here, so the text itself is looked at.
        let octal = |line: &&str| {
            let value = line
                .trim_start()
                .trim_start_matches("- ")
                .strip_prefix("mode:");
            value.is_some_and(|value| value.trim_start().starts_with("0o"))
        };
        if let Some(index) = self.text.lines().position(|line| octal(&line)) {
            let message =
                "Synapse reads this as a text and fails when it starts: write 384 for 0600";
            self.found.push(Warning::new(
                "synapse-socket-mode",
                "mode",
                Some(index + 1),
                message,
            ));
        }
    }

    fn outside(&mut self) {
        if self.config.get("trusted_key_servers").is_none() {
            let message = "left out, it means matrix.org: write []";
            self.warn("synapse-key-server", "trusted_key_servers", message);
        } else if !self.is_empty_list("trusted_key_servers") {
            let message = "other servers' keys are asked for outside";
            self.warn("synapse-key-server", "trusted_key_servers", message);
        }
        if !self.is_empty_list("federation_domain_whitelist") {
            let message = "other homeservers are contacted, and may contact this one: write []";
            self.warn("synapse-federates", "federation_domain_whitelist", message);
        }
        if !self.is("report_stats", false) {
            let message = "statistics go to matrix.org unless this is false";
            self.warn("synapse-reports", "report_stats", message);
        }
        if self.is("url_preview_enabled", true) {
            let message = "every link that anybody writes is fetched from the outside";
            self.warn("synapse-previews", "url_preview_enabled", message);
        }
        let push = self.config.get("push").and_then(|push| push.get("enabled"));
        if push.and_then(Value::as_bool) != Some(false) {
            let message = "users' phones choose servers outside to be told of messages by";
            self.warn("synapse-pushes", "push.enabled", message);
        }
    }

    fn accounts(&mut self) {
        if self.is("enable_registration", true) {
            let message = "whoever reaches the server makes an account";
            self.warn("synapse-open-registration", "enable_registration", message);
        }
        if self.is("allow_guest_access", true) {
            let message = "whoever reaches the server reads as a guest";
            self.warn("synapse-guests", "allow_guest_access", message);
        }
        let Some(jwt) = self.config.get("jwt_config") else {
            return;
        };
        let secret = jwt
            .get("secret")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if jwt
            .get("algorithm")
            .and_then(Value::as_str)
            .is_some_and(|name| name.starts_with("HS"))
        {
            let message = "whoever reads the file can log in as anybody: sign with a key pair";
            self.warn("synapse-shared-login-key", "jwt_config.algorithm", message);
        }
        if secret.contains("PRIVATE KEY") {
            let message = "the private key stands where the public one belongs";
            self.warn("synapse-private-login-key", "jwt_config.secret", message);
        }
    }

    fn secrets(&mut self) {
        for (key, better) in [
            (
                "registration_shared_secret",
                "registration_shared_secret_path",
            ),
            ("macaroon_secret_key", "macaroon_secret_key_path"),
            ("form_secret", "form_secret_path"),
            ("signing_key", "signing_key_path"),
        ] {
            if self.config.get(key).is_some() {
                let message =
                    format!("a secret in a file that gets copied and shown: use {better}");
                self.warn("synapse-inline-secret", key, &message);
            }
        }
    }
}

/// Whether one key is the other with a slip: a letter or two, not a word more or less. Many of
/// Synapse's own keys differ by a word.
fn is_slip(key: &str, meant: &str) -> bool {
    key.len() > 4 && key.split('_').count() == meant.split('_').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
listeners:
  - { port: 8008, type: http, bind_addresses: ['127.0.0.1'], resources: [{ names: [client] }] }
trusted_key_servers: []
federation_domain_whitelist: []
report_stats: false
push: { enabled: false }
jwt_config: { enabled: true, algorithm: EdDSA, secret: x }
";

    fn rules(text: &str) -> Vec<&'static str> {
        synapse(text)
            .into_iter()
            .map(|warning| warning.rule)
            .collect()
    }

    #[test]
    fn a_good_configuration_has_no_warning() {
        assert_eq!(synapse(GOOD), []);
    }

    #[test]
    fn each_rule_finds_what_it_is_for() {
        for (from, to, rule) in [
            (
                ", bind_addresses: ['127.0.0.1']",
                "",
                "synapse-listens-everywhere",
            ),
            ("127.0.0.1", "0.0.0.0", "synapse-open-listener"),
            ("[client]", "[client, federation]", "synapse-federates"),
            ("trusted_key_servers: []", "", "synapse-key-server"),
            ("federation_domain_whitelist: []", "", "synapse-federates"),
            ("report_stats: false", "", "synapse-reports"),
            ("push: { enabled: false }", "", "synapse-pushes"),
            ("EdDSA", "HS256", "synapse-shared-login-key"),
            (
                "secret: x",
                "secret: '-----BEGIN PRIVATE KEY-----'",
                "synapse-private-login-key",
            ),
        ] {
            assert!(GOOD.contains(from), "{from}");
            assert_eq!(rules(&GOOD.replace(from, to)), [rule], "{to}");
        }
        for (more, rule) in [
            ("url_preview_enabled: true", "synapse-previews"),
            ("enable_registration: true", "synapse-open-registration"),
            ("allow_guest_access: true", "synapse-guests"),
            ("macaroon_secret_key: x", "synapse-inline-secret"),
            ("enable_registraton: false", "synapse-mistyped-key"),
            ("report_stats: false", "synapse-unreadable"),
            ("x:\n  - path: /s\n    mode: 0o600", "synapse-socket-mode"),
            ("{", "synapse-unreadable"),
        ] {
            assert_eq!(rules(&format!("{GOOD}{more}\n")), [rule], "{more}");
        }
    }

    #[test]
    fn a_warning_tells_the_line_of_its_key() {
        let warnings = synapse(&GOOD.replace("127.0.0.1", "10.0.0.1"));
        assert_eq!(warnings[0].line, Some(2));
        assert!(
            warnings[0]
                .to_string()
                .starts_with("line 2: listeners[0]: Synapse asks")
        );
    }

    #[test]
    fn a_document_that_unfolds_without_end_is_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..12 {
            let item = format!("*a{}", n - 1);
            bomb += &format!("a{n}: &a{n} [{}]\n", [item.as_str(); 10].join(", "));
        }
        assert_eq!(rules(&bomb), ["synapse-unreadable"]);
    }
}
