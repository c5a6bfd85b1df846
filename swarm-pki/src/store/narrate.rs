//! What an event says to people who read the audit log.

use super::AuditEntry;
use super::event::{CrlRef, Entry, Event};
use crate::rollover::Rollover;
use crate::{NodeId, SerialNumber};

/// What one event is about.
struct Line {
    kind: &'static str,
    node: Option<NodeId>,
    serials: Vec<SerialNumber>,
    detail: String,
}

impl Line {
    fn new(kind: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind,
            node: None,
            serials: Vec::new(),
            detail: detail.into(),
        }
    }

    fn of_node(mut self, node: NodeId) -> Self {
        self.node = Some(node);
        self
    }
}

impl From<Entry> for AuditEntry {
    fn from(entry: Entry) -> Self {
        let line = narrate(entry.event);
        Self {
            sequence: entry.sequence,
            at: entry.at,
            requester: entry.requester,
            kind: line.kind,
            node: line.node,
            serials: line.serials,
            detail: line.detail,
        }
    }
}

fn narrate(event: Event) -> Line {
    match event {
        Event::Initialized { settings, .. } => {
            Line::new("initialized", format!("swarm {}", settings.swarm))
        }
        Event::SubordinateInitialized { settings, root, .. } => Line::new(
            "initialized",
            format!(
                "subordinate of swarm {}, below the root {root}",
                settings.swarm
            ),
        ),
        Event::SettingsChanged { settings } => Line::new(
            "settings-changed",
            serde_json::to_string(&settings).unwrap_or_default(),
        ),
        Event::RootDetached { generation, path } => Line::new(
            "root-detached",
            format!(
                "the key of root-{generation} was moved to {}",
                path.display()
            ),
        ),
        Event::AuthorityRequested { .. } => Line::new("authority-requested", "the next generation"),
        Event::AuthorityAccepted { generation, .. } => {
            Line::new("authority-accepted", format!("issuing-{generation}"))
        }
        Event::SubordinateSigned { authority } => Line {
            serials: vec![authority.certificate.0.serial()],
            ..Line::new(
                "subordinate-signed",
                format!("{} for {:?}", authority.id, authority.label),
            )
        },
        Event::IssuingRotated { authority, .. } => {
            Line::new("issuing-rotated", authority.id.to_string())
        }
        Event::IssuingRevoked {
            generation,
            revocation,
            ..
        } => Line::new(
            "issuing-revoked",
            format!("issuing-{generation}: {}", revocation.reason),
        ),
        Event::RolloverBegun { rollover, .. } => Line::new("rollover-begun", describe(&rollover)),
        Event::RolloverAdvanced {
            phase,
            left_behind,
            revoked,
            ..
        } => {
            let mut detail = phase.map_or("done".into(), |phase| phase.to_string());
            if phase.is_none() && revoked.is_empty() {
                detail.push_str(", the old issuing authority is left to expire");
            }
            for (id, revocation) in revoked {
                detail.push_str(&format!(", {id} revoked: {}", revocation.reason));
            }
            if !left_behind.is_empty() {
                let names: Vec<&str> = left_behind.iter().map(NodeId::as_str).collect();
                detail.push_str(&format!(", left behind: {}", names.join(" ")));
            }
            Line::new("rollover-advanced", detail)
        }
        Event::RolloverAborted { revoked, .. } => {
            let ids: Vec<String> = revoked.keys().map(ToString::to_string).collect();
            Line::new("rollover-aborted", format!("revoked: {}", ids.join(" ")))
        }
        Event::TrustReported { node, known } => {
            let ids: Vec<String> = known.iter().map(ToString::to_string).collect();
            Line::new("trust-reported", ids.join(" ")).of_node(node)
        }
        Event::Adopted {
            authorities,
            crls,
            certificates,
            revoked,
            settles,
            ..
        } => Line {
            serials: revoked.values().flat_map(|of| of.keys()).copied().collect(),
            ..Line::new(
                "adopted",
                format!(
                    "{} authorities, {} certificates, {} revocations, lists [{}]{}",
                    authorities.len(),
                    certificates.len(),
                    revoked.values().map(|of| of.len()).sum::<usize>(),
                    numbers(&crls),
                    if settles { "; settled" } else { "" },
                ),
            )
        },
        Event::Restored {
            epoch,
            backup,
            created,
        } => Line::new(
            "restored",
            format!("from the backup {backup} of {created}, epoch {epoch}"),
        ),
        Event::Settled => Line::new("settled", "without a bundle, by decision"),
        Event::ReenrolmentAsked { node, serial } => Line {
            serials: vec![serial],
            ..Line::new("reenrolment-asked", "").of_node(node)
        },
        Event::ReenrolmentDecided { node, approved } => {
            let decision = if approved { "approved" } else { "denied" };
            Line::new("reenrolment-decided", decision).of_node(node)
        }
        Event::Issued {
            certificate,
            grant,
            invite,
            renews,
            reenrolment,
            generation,
        } => {
            let kind = match (invite, renews) {
                _ if reenrolment => "reenrolled",
                (Some(_), _) => "redeemed",
                (None, Some(_)) => "renewed",
                (None, None) => "issued",
            };
            let roles: Vec<&str> = grant.roles.iter().map(|role| role.as_str()).collect();
            Line {
                serials: vec![certificate.serial()],
                ..Line::new(
                    kind,
                    format!("roles [{}], by issuing-{generation}", roles.join(", ")),
                )
                .of_node(grant.id)
            }
        }
        Event::Revoked {
            node,
            serials,
            revocation,
            ..
        } => Line {
            serials,
            ..Line::new("revoked", revocation.reason.as_str()).of_node(node)
        },
        Event::ServiceIssued {
            certificate,
            grant,
            generation,
            renews,
        } => {
            let kind = match renews {
                Some(_) => "service-renewed",
                None => "service-issued",
            };
            Line {
                serials: vec![certificate.serial()],
                ..Line::new(kind, format!("{}, by issuing-{generation}", grant.name))
            }
        }
        Event::ServiceRevoked {
            service,
            serials,
            revocation,
            ..
        } => Line {
            serials,
            ..Line::new(
                "service-revoked",
                format!("{service}: {}", revocation.reason),
            )
        },
        Event::CrlsRefreshed { crls } => Line::new("crls-refreshed", numbers(&crls)),
        Event::Invited { grant, expires, .. } => {
            Line::new("invited", format!("until {expires}")).of_node(grant.id)
        }
        Event::Refused {
            operation,
            node,
            reason,
            unwritten,
        } => {
            let mut detail = format!("{operation}: {reason}");
            if unwritten > 0 {
                detail.push_str(&format!(" ({unwritten} before it unwritten)"));
            }
            Line {
                node,
                ..Line::new("refused", detail)
            }
        }
    }
}

fn describe(rollover: &Rollover) -> String {
    let kind = rollover.kind;
    format!(
        "{kind}-{} follows {kind}-{}, which is {} in the end",
        rollover.new, rollover.old, rollover.retirement
    )
}

fn numbers(crls: &[CrlRef]) -> String {
    let numbers: Vec<String> = crls
        .iter()
        .map(|crl| format!("{} of {}", crl.number, crl.authority))
        .collect();
    numbers.join(", ")
}
