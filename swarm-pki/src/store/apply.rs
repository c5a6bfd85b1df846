//! What each event of the journal does to the state.

use super::event::{CrlRef, Entry, Event, NewAuthority, NodeText};
use super::inventory::{Record, ServiceEntry};
use super::reenroll::{Asked, Decision};
use super::state::{Invite, Known, State};
use super::{AuthorityId, Grant, KeyPlace};
use crate::rollover::Rollover;
use crate::{NodeCertificate, Revocation, SerialNumber, Timestamp};

impl State {
    /// Replays a whole journal; the fault names its line.
    pub(super) fn replay(entries: Vec<Entry>) -> Result<Self, String> {
        let mut entries = entries.into_iter();
        let first = entries.next().ok_or("line 1: the beginning is missing")?;
        let at = first.at;
        let mut state = match first.event {
            Event::Initialized {
                settings,
                authorities,
                crls,
            } => {
                let mut state = Self::new(settings, None);
                state
                    .add_authorities(authorities, at)
                    .map_err(|fault| format!("line 1: {fault}"))?;
                state.active = Some(1);
                state.take_crls(&crls);
                state
            }
            Event::SubordinateInitialized {
                settings,
                root,
                request,
            } => {
                let mut state = Self::new(settings, Some(root));
                state.requested = Some(request.0);
                state
            }
            _ => return Err("line 1: the beginning is missing".into()),
        };
        for entry in entries {
            state.apply(entry)?;
        }
        Ok(state)
    }

    /// Adds one committed entry.
    pub(super) fn apply(&mut self, entry: Entry) -> Result<(), String> {
        let line = entry.sequence;
        self.take(entry)
            .map_err(|fault| format!("line {line}: {fault}"))
    }

    fn take(&mut self, entry: Entry) -> Result<(), String> {
        let at = entry.at;
        match entry.event {
            Event::Initialized { .. } | Event::SubordinateInitialized { .. } => {
                return Err("a second beginning".into());
            }
            Event::SettingsChanged { settings } => self.settings = settings,
            Event::RootDetached { generation, path } => {
                self.authority_mut(AuthorityId::Root(generation))?.key = KeyPlace::File(path);
            }
            Event::AuthorityRequested { request } => self.requested = Some(request.0),
            Event::AuthorityAccepted {
                generation,
                authorities,
                links,
                crls,
                rollover,
            } => {
                self.add_authorities(authorities, at)?;
                self.add_links(links);
                self.take_crls(&crls);
                self.requested = None;
                match rollover {
                    None => self.activate(generation)?,
                    Some(rollover) => self.begin(rollover)?,
                }
            }
            Event::SubordinateSigned { authority } => self.add_authorities(vec![authority], at)?,
            Event::IssuingRotated { authority, crls } => {
                let generation = authority.id.generation();
                self.add_authorities(vec![authority], at)?;
                self.take_crls(&crls);
                self.activate(generation)?;
            }
            Event::IssuingRevoked {
                generation,
                revocation,
                crls,
            } => {
                self.authority_mut(AuthorityId::Issuing(generation))?
                    .revoked = Some(revocation);
                self.take_crls(&crls);
            }
            Event::RolloverBegun {
                rollover,
                authorities,
                links,
                crls,
            } => {
                self.add_authorities(authorities, at)?;
                self.add_links(links);
                self.take_crls(&crls);
                self.begin(rollover)?;
            }
            Event::RolloverAdvanced {
                phase,
                left_behind,
                revoked,
                crls,
            } => {
                let mut rollover = self.rollover.take().ok_or("no roll-over is under way")?;
                for (id, revocation) in revoked {
                    self.authority_mut(id)?.revoked = Some(revocation);
                }
                self.take_crls(&crls);
                if let Some(phase) = phase {
                    rollover.phase = phase;
                    rollover.left_behind.extend(left_behind);
                    if rollover.has_switched() {
                        self.activate(rollover.issuing)?;
                    }
                    self.rollover = Some(rollover);
                }
            }
            Event::RolloverAborted { revoked, crls } => {
                self.rollover.take().ok_or("no roll-over is under way")?;
                for (id, revocation) in revoked {
                    self.authority_mut(id)?.revoked = Some(revocation);
                }
                self.take_crls(&crls);
            }
            Event::TrustReported { node, known } => {
                self.reported.insert(node, known);
            }
            Event::Adopted {
                authorities,
                links,
                crls,
                certificates,
                revoked,
                settles,
            } => {
                self.add_authorities(authorities, at)?;
                self.add_links(links);
                self.take_crls(&crls);
                for NodeText(certificate) in certificates {
                    self.add_adopted(certificate, at)?;
                }
                for (id, revocations) in revoked {
                    for (serial, revocation) in revocations {
                        self.take_revocation(id, serial, revocation);
                    }
                }
                self.settled |= settles;
            }
            Event::Restored { epoch, .. } => {
                self.epoch = epoch;
                self.settled = false;
            }
            Event::Settled => self.settled = true,
            Event::ReenrolmentAsked { node, serial } => {
                let asked = Asked {
                    serial,
                    since: at,
                    decision: None,
                };
                self.asked.insert(node, asked);
            }
            Event::ReenrolmentDecided { node, approved } => {
                let asked = self.asked.get_mut(&node).ok_or("nobody asked")?;
                asked.decision = Some(Decision { approved, at });
            }
            Event::Issued {
                certificate,
                generation,
                grant,
                invite,
                renews: _,
                reenrolment: _,
            } => {
                if let Some(invite) = invite {
                    let invite = self.invites.get_mut(&invite).ok_or("an unknown invite")?;
                    invite.spent = Some((at, certificate.serial()));
                }
                self.asked.remove(certificate.id());
                self.inventory.add(Record {
                    certificate,
                    generation,
                    grant,
                    issued_at: at,
                    requester: entry.requester,
                    revoked: None,
                });
            }
            Event::Revoked {
                node,
                serials,
                revocation,
                whole_node,
                crls,
            } => {
                for serial in serials {
                    self.inventory
                        .revoke(&serial, revocation)
                        .ok_or("an unknown certificate")?;
                }
                if whole_node {
                    self.asked.remove(&node);
                    let open = self
                        .invites
                        .values_mut()
                        .filter(|invite| invite.spent.is_none());
                    open.filter(|invite| invite.grant.id == node)
                        .for_each(|invite| invite.cancelled = true);
                }
                self.take_crls(&crls);
            }
            Event::ServiceIssued {
                certificate,
                generation,
                grant,
                renews: _,
            } => self.inventory.add_service(ServiceEntry {
                certificate,
                generation,
                grant,
                issued_at: at,
                requester: entry.requester,
                revoked: None,
            }),
            Event::ServiceRevoked {
                service: _,
                serials,
                revocation,
                crls,
            } => {
                for serial in serials {
                    self.inventory
                        .revoke(&serial, revocation)
                        .ok_or("an unknown certificate")?;
                }
                self.take_crls(&crls);
            }
            Event::CrlsRefreshed { crls } => self.take_crls(&crls),
            Event::Invited {
                invite,
                secret_sha256,
                grant,
                expires,
            } => {
                self.invites.insert(
                    invite,
                    Invite {
                        secret_sha256,
                        grant,
                        expires,
                        invited_at: at,
                        requester: entry.requester,
                        spent: None,
                        cancelled: false,
                    },
                );
            }
            Event::Refused { .. } => {}
        }
        Ok(())
    }

    fn add_authorities(&mut self, list: Vec<NewAuthority>, at: Timestamp) -> Result<(), String> {
        for new in list {
            let certificate = new.certificate.0;
            let parent = match new.id {
                AuthorityId::Root(_) => None,
                AuthorityId::Issuing(_) => {
                    let named = self.find_issuer(&certificate);
                    Some(named.ok_or_else(|| format!("{}: its root is not known", new.id))?)
                }
            };
            let known = Known {
                certificate,
                key: new.key,
                label: new.label,
                parent,
                revoked: None,
                since: at,
            };
            if self.authorities.insert(new.id, known).is_some() {
                return Err(format!("{} is there already", new.id));
            }
        }
        Ok(())
    }

    /// Adds a certificate that this store issued before it was restored.
    fn add_adopted(&mut self, certificate: NodeCertificate, at: Timestamp) -> Result<(), String> {
        let issuer = self.find_issuer(&certificate);
        let generation = issuer.ok_or("a certificate of nobody")?.generation();
        let lost = self.lost.get_mut(&AuthorityId::Issuing(generation));
        let revoked = lost.and_then(|lost| lost.remove(&certificate.serial()));
        let identity = certificate.identity();
        let mut grant = Grant::new(identity.id.clone());
        grant.roles = identity.roles.clone();
        grant.addresses = identity.addresses.clone();
        let own = self.settings.domain.host(&identity.id);
        let others = identity.dns.iter().filter(|name| **name != own);
        grant.dns = others.cloned().collect();
        self.inventory.add(Record {
            certificate,
            generation,
            grant,
            issued_at: at,
            requester: "adopted".into(),
            revoked,
        });
        Ok(())
    }

    fn take_revocation(&mut self, id: AuthorityId, serial: SerialNumber, revocation: Revocation) {
        if id.is_root() {
            let named = self.authorities.iter_mut().find(|(own, known)| {
                known.certificate.serial() == serial && (known.parent == Some(id) || **own == id)
            });
            if let Some((_, known)) = named {
                known.revoked.get_or_insert(revocation);
                return;
            }
        } else if self.inventory.revoke(&serial, revocation).is_some() {
            return;
        }
        self.lost
            .entry(id)
            .or_default()
            .entry(serial)
            .or_insert(revocation);
    }

    fn add_links(&mut self, links: Vec<super::event::Text>) {
        for link in links {
            if !self.links.contains(&link.0) {
                self.links.push(link.0);
            }
        }
    }

    fn begin(&mut self, rollover: Rollover) -> Result<(), String> {
        if self.rollover.is_some() {
            return Err("a second roll-over".into());
        }
        self.rollover = Some(rollover);
        Ok(())
    }

    fn activate(&mut self, generation: u32) -> Result<(), String> {
        self.authority_mut(AuthorityId::Issuing(generation))?;
        self.active = Some(generation);
        Ok(())
    }

    fn authority_mut(&mut self, id: AuthorityId) -> Result<&mut Known, String> {
        self.authorities
            .get_mut(&id)
            .ok_or_else(|| format!("{id} is not known"))
    }

    fn take_crls(&mut self, crls: &[CrlRef]) {
        self.crls
            .extend(crls.iter().map(|crl| (crl.authority, *crl)));
    }
}
