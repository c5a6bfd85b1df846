//! `homeserver.yaml` and `log.yaml`, for Synapse 1.163.

use super::{RenderError, RenderedFile, Renderer};
use crate::layout::Layout;
use crate::value::PublicKeyPem;

impl Renderer<'_> {
    /// Renders the configuration of the rooms, `homeserver.yaml` and `log.yaml`.
    ///
    /// Synapse listens on loopback alone and contacts nobody: no federation, key server, push
    /// gateway, preview or report, and every address is on its block list. Accounts come from
    /// logins signed with the private half of `login_key` (JWT, `EdDSA`, so an Ed25519 key) and
    /// from the holder of the registration secret; there is no registration. Passwords can log in,
    /// since the administrator has no other way, but no account of a node has one.
    ///
    /// Synapse takes a token without `exp`, takes it twice, and takes an administrator's name
    /// in it: whoever signs has to see to all three. `/_synapse/admin` shares the listener, so a
    /// front before it has to keep that path to itself.
    ///
    /// # Errors
    /// [`RenderError::NotPrimary`].
    pub fn synapse(&self, login_key: &PublicKeyPem) -> Result<[RenderedFile; 2], RenderError> {
        self.require_primary()?;
        let homeserver = RenderedFile {
            path: Layout::HOMESERVER_YAML,
            contents: self.homeserver_yaml(login_key),
            mode: 0o600,
        };
        let log = RenderedFile {
            path: Layout::LOG_YAML,
            contents: self.header() + LOG_YAML,
            mode: 0o600,
        };
        Ok([homeserver, log])
    }

    fn homeserver_yaml(&self, login_key: &PublicKeyPem) -> String {
        let (header, name, layout) = (self.header(), self.plan.name(), self.layout);
        let hub = self.node;
        let (matrix, url) = (self.plan.matrix(), self.plan.matrix_url());
        let (client_port, metrics_port) = (matrix.client_port, matrix.metrics_port);
        let (upload, data) = (matrix.max_upload.bytes(), layout.matrix_data());
        let (pid, log) = (layout.matrix_pid(), layout.log_yaml());
        let (signing, registration) = (
            layout.matrix_signing_key(),
            layout.matrix_registration_secret(),
        );
        // Every line of the key is indented to stay inside the block.
        let pem: String = login_key
            .as_str()
            .lines()
            .map(|line| format!("    {line}\n"))
            .collect();
        format!(
            "{header}
server_name: \"{name}\"
public_baseurl: \"{url}/\"
pid_file: \"{pid}\"
log_config: \"{log}\"
signing_key_path: \"{signing}\"

# Loopback only. The front on the mesh address brings the mutual TLS.
listeners:
  - port: {client_port}
    type: http
    tls: false
    bind_addresses: [\"127.0.0.1\"]
    resources:
      - names: [client]
        compress: false
  - port: {metrics_port}
    type: metrics
    bind_addresses: [\"127.0.0.1\"]
enable_metrics: true

database:
  name: sqlite3
  args:
    database: \"{data}/homeserver.db\"
media_store_path: \"{data}/media\"
max_upload_size: {upload}

# Accounts: by a signed login, or by whoever holds the registration secret.
jwt_config:
  enabled: true
  algorithm: EdDSA
  secret: |
{pem}password_config:
  enabled: true
enable_registration: false
registration_shared_secret_path: \"{registration}\"
allow_guest_access: false
# only the hub names rooms, so that nobody takes the name of one first
alias_creation_rules:
  - user_id: \"@{hub}:{name}\"
    alias: \"*\"
    room_id: \"*\"
    action: allow
enable_3pid_lookup: false
require_auth_for_profile_requests: true

# Nobody outside is contacted.
federation_domain_whitelist: []
trusted_key_servers: []
suppress_key_server_warning: true
ip_range_blocklist: [\"0.0.0.0/0\", \"::/0\"]
push:
  enabled: false
url_preview_enabled: false
report_stats: false

presence:
  enabled: false
max_event_delay_duration: \"24h\"
retention:
  enabled: true
  purge_jobs:
    - interval: \"1d\"

# Machines write faster than people, and all come from the front's one address.
rc_message: {{ per_second: 100, burst_count: 1000 }}
rc_registration: {{ per_second: 10, burst_count: 100 }}
rc_login:
  address: {{ per_second: 100, burst_count: 1000 }}
  account: {{ per_second: 1, burst_count: 20 }}
  failed_attempts: {{ per_second: 1, burst_count: 20 }}
rc_joins:
  local: {{ per_second: 10, burst_count: 100 }}
  remote: {{ per_second: 0.01, burst_count: 1 }}
rc_joins_per_room: {{ per_second: 50, burst_count: 500 }}
rc_invites:
  per_room: {{ per_second: 50, burst_count: 500 }}
  per_user: {{ per_second: 10, burst_count: 100 }}
  per_issuer: {{ per_second: 50, burst_count: 500 }}
rc_room_creation: {{ per_second: 1, burst_count: 50 }}
rc_key_requests: {{ per_second: 100, burst_count: 1000 }}
rc_delayed_event_mgmt: {{ per_second: 10, burst_count: 100 }}
"
        )
    }
}

/// Everything to the standard error, where systemd or the supervising program takes it.
const LOG_YAML: &str = "
version: 1
formatters:
  plain:
    format: \"%(levelname)s %(name)s: %(message)s\"
handlers:
  stderr:
    class: logging.StreamHandler
    formatter: plain
    stream: ext://sys.stderr
loggers:
  synapse.storage.SQL:
    level: WARNING
  synapse.access:
    level: WARNING
root:
  level: WARNING
  handlers: [stderr]
disable_existing_loggers: false
";
