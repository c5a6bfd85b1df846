//! Roots: pinned, followed to by links, retired by their own lists.

use std::cmp::Reverse;

use super::authority::Believed;
use super::change::{Refusal, RefusalReason};
use super::verify::{check_signature, check_validity};
use super::{MAX_LINKS, MAX_ROOTS, Trust, TrustBundle, VerifyError};
use crate::authority::check_authority;
use crate::{Certificate, Revocation, Timestamp};

/// A root that is or was believed.
#[derive(Clone)]
pub(super) struct Root {
    pub(super) authority: Believed,
    pub(super) pinned: bool,
    pub(super) standing: RootStanding,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum RootStanding {
    /// Pinned, or a link leads to it.
    Counts,
    /// As before, but its own list names its own serial number. Its links and its list are passed
    /// on, for those who come late.
    Retired(Revocation),
    /// The link that led to it was revoked.
    Unlinked,
}

impl Root {
    pub(super) fn pinned(authority: Believed) -> Self {
        Self {
            authority,
            pinned: true,
            standing: RootStanding::Counts,
        }
    }

    pub(super) fn counts(&self) -> bool {
        self.standing == RootStanding::Counts
    }

    /// Tells whether its word on other roots and on itself is heard.
    pub(super) fn is_known(&self) -> bool {
        self.standing != RootStanding::Unlinked
    }
}

impl Trust {
    /// Follows the links of `bundle` as far as they lead; returns those that are refused.
    pub(super) fn merge_roots(&mut self, bundle: &TrustBundle, now: Timestamp) -> Vec<Refusal> {
        let mut faults: Vec<Option<RefusalReason>> = vec![None; bundle.links.len()];
        // A link may be signed by the root that another link leads to.
        loop {
            let mut progress = false;
            for (link, fault) in bundle.links.iter().zip(&mut faults) {
                let is_final = !matches!(
                    fault,
                    None | Some(RefusalReason::Invalid(VerifyError::UnknownIssuer { .. }))
                );
                if is_final || self.links.contains(link) {
                    continue;
                }
                match self.merge_link(link, now) {
                    Ok(()) => {
                        *fault = None;
                        progress = true;
                    }
                    Err(reason) => *fault = Some(reason),
                }
            }
            for root in &bundle.roots {
                progress |= self.merge_root(root);
            }
            if !progress {
                break;
            }
            self.settle_roots();
        }
        let refused = bundle.links.iter().zip(faults);
        refused
            .filter_map(|(link, fault)| Some(Refusal::of(link, fault?)))
            .filter(|refusal| !self.leads_nowhere_new(bundle, refusal))
            .collect()
    }

    /// A link from a root that is not known to one that is known anyway: the past, for somebody
    /// who came after it.
    fn leads_nowhere_new(&self, bundle: &TrustBundle, refusal: &Refusal) -> bool {
        let unknown = matches!(
            refusal.reason,
            RefusalReason::Invalid(VerifyError::UnknownIssuer { .. })
        );
        unknown
            && bundle
                .links
                .iter()
                .filter(|link| link.fingerprint() == refusal.fingerprint)
                .any(|link| self.leads_to_known(link))
    }

    fn leads_to_known(&self, link: &Certificate) -> bool {
        self.roots
            .iter()
            .any(|root| root.is_known() && root.authority.is_certified_by(link))
    }

    /// Tells whether `name` is that of a root which preceded one that is known, by the word of an
    /// unverified link of `bundle`; good for leaving out a complaint only.
    pub(super) fn is_past_root(&self, bundle: &TrustBundle, name: &[u8]) -> bool {
        let mut from = bundle.links.iter().filter(|link| link.issuer_der() == name);
        from.any(|link| self.leads_to_known(link))
    }

    fn merge_link(&mut self, link: &Certificate, now: Timestamp) -> Result<(), RefusalReason> {
        let root = self.find_root(link)?;
        let fault = if check_authority(link).is_err() {
            Some("it is no authority that signs certificates and lists")
        } else if link.path_length() == Some(0) {
            Some("its path length is 0")
        } else if link.is_self_issued() {
            Some("it leads from a root to itself")
        } else {
            None
        };
        if let Some(fault) = fault {
            return Err(RefusalReason::NotALink(fault));
        }
        if let Some(revocation) = root.authority.revocation(&link.serial()) {
            let subject = link.subject();
            let fault = VerifyError::Revoked {
                subject,
                revocation,
            };
            return Err(fault.into());
        }
        // Only while it is being followed: what was followed to stays when the old root expires.
        if link.not_after() < self.effective(now) {
            check_validity(link, self.effective(now))?;
        }
        check_signature(link, &root.authority)?;
        if self.links.len() == MAX_LINKS {
            return Err(RefusalReason::TooManyLinks);
        }
        self.links.push(link.clone());
        self.links
            .sort_by_key(|link| (link.not_before(), link.fingerprint()));
        Ok(())
    }

    /// Takes a self-signed root that a link leads to; tells whether it did.
    fn merge_root(&mut self, root: &Certificate) -> bool {
        if self
            .roots
            .iter()
            .any(|known| known.authority.certificate == *root)
        {
            return false;
        }
        let linked = |link: &Certificate| {
            link.subject_der() == root.subject_der() && link.spki_der() == root.spki_der()
        };
        if !self.links.iter().any(linked)
            || check_authority(root).is_err()
            || !root.is_signed_by(root)
        {
            return false;
        }
        if self.roots.len() == MAX_ROOTS {
            let Some(unlinked) = self.roots.iter().position(|root| !root.is_known()) else {
                return false;
            };
            self.roots.remove(unlinked);
        }
        let Ok(mut authority) = Believed::new(root.clone()) else {
            return false;
        };
        let twin = self
            .roots
            .iter()
            .find(|known| known.authority.is_certified_by(root));
        if let Some(twin) = twin {
            authority.take_lists_of(&twin.authority);
        }
        self.roots.push(Root {
            authority,
            pinned: false,
            standing: RootStanding::Unlinked,
        });
        // Pinned ones first, as they were given.
        self.roots.sort_by_key(|root| {
            (!root.pinned).then(|| {
                let certificate = &root.authority.certificate;
                (certificate.not_before(), certificate.fingerprint())
            })
        });
        true
    }

    /// Decides which roots count, from links and lists alone: the order in which they came does
    /// not matter.
    pub(super) fn settle_roots(&mut self) {
        let roots = &self.roots;
        self.links.retain(|link| {
            let mut issuers = roots.iter().filter(|root| root.authority.is_named_by(link));
            issuers.all(|root| root.authority.revocation(&link.serial()).is_none())
        });
        let mut known: Vec<bool> = roots.iter().map(|root| root.pinned).collect();
        loop {
            let before = known.clone();
            for link in &self.links {
                let followed = roots
                    .iter()
                    .zip(&before)
                    .any(|(root, known)| *known && root.authority.is_named_by(link));
                for (root, known) in roots.iter().zip(&mut known) {
                    *known |= followed && root.authority.is_certified_by(link);
                }
            }
            if known == before {
                break;
            }
        }
        for (root, known) in self.roots.iter_mut().zip(known) {
            let own = root.authority.certificate.serial();
            root.standing = match root.authority.revocation(&own) {
                _ if !known => RootStanding::Unlinked,
                Some(revocation) => RootStanding::Retired(revocation),
                None => RootStanding::Counts,
            };
        }
    }

    /// Finds the root that `certificate` names as its issuer; one that counts, if there is one.
    pub(super) fn find_root(&self, certificate: &Certificate) -> Result<&Root, VerifyError> {
        self.roots
            .iter()
            .filter(|root| root.is_known() && root.authority.is_named_by(certificate))
            .max_by_key(|root| Reverse(!root.counts()))
            .ok_or_else(|| VerifyError::UnknownIssuer {
                issuer: certificate.issuer(),
            })
    }
}
