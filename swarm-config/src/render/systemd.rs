//! `swarm.service`, for systemd 252 and later.

use super::{RenderedFile, Renderer};
use crate::layout::Layout;

impl Renderer<'_> {
    /// Renders the systemd unit that runs this node.
    ///
    /// It needs the tunnel's capability and device and nothing else of the machine: everything
    /// but the swarm's directory is read-only or out of sight.
    #[must_use]
    pub fn systemd(&self) -> RenderedFile {
        let (header, program, root) = (self.header(), &self.program, self.layout.root());
        let (name, node) = (self.plan.name(), self.node);
        let contents = format!(
            "{header}
[Unit]
Description=Node {node} of the swarm {name}
Wants=network.target
After=network.target
StartLimitIntervalSec=0

[Service]
Type=exec
Environment=SWARM_DIR={root}
WorkingDirectory={root}
ExecStart={program} up
Restart=always
RestartSec=2
TimeoutStopSec=30
KillMode=mixed

AmbientCapabilities=CAP_NET_ADMIN
CapabilityBoundingSet=CAP_NET_ADMIN
DeviceAllow=/dev/net/tun rw
DevicePolicy=closed
LockPersonality=yes
LimitCORE=0
LimitNOFILE=65536
NoNewPrivileges=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=read-only
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
ReadWritePaths={root}
RemoveIPC=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
UMask=0077

[Install]
WantedBy=multi-user.target
"
        );
        RenderedFile {
            path: Layout::SERVICE,
            contents,
            mode: 0o644,
        }
    }
}
