//! `wg0.conf`, for wg-quick.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{RenderError, RenderedFile, Renderer};
use crate::layout::Layout;
use crate::member::Member;

impl Renderer<'_> {
    /// Renders the tunnel for wg-quick.
    ///
    /// Each peer is allowed its own addresses and nothing wider, so an address always means the
    /// node whose certificate names it. The private key is not in the file; wg-quick sets it
    /// from the node's key file.
    ///
    /// # Errors
    /// [`RenderError`].
    pub fn wireguard(&self) -> Result<RenderedFile, RenderError> {
        let members = self.sorted_members()?;
        check_members(&members)?;
        let me = members
            .iter()
            .find(|member| member.id == *self.node)
            .ok_or_else(|| RenderError::NotAMember {
                id: self.node.clone(),
            })?;
        let wireguard = self.plan.wireguard();
        let mut out = self.header();
        let mut line = |text: std::fmt::Arguments<'_>| {
            out.write_fmt(text).expect("a String takes everything");
            out.push('\n');
        };
        line(format_args!("\n[Interface]"));
        line(format_args!("Address = {}", own_addresses(&me.addresses)));
        line(format_args!("ListenPort = {}", wireguard.port));
        line(format_args!("MTU = {}", wireguard.mtu));
        line(format_args!(
            "PostUp = wg set %i private-key {}",
            self.layout.wireguard_key(self.node)
        ));
        for member in members.iter().filter(|member| member.id != *self.node) {
            line(format_args!("\n# {}\n[Peer]", member.id));
            line(format_args!("PublicKey = {}", member.wireguard_public_key));
            line(format_args!(
                "AllowedIPs = {}",
                own_addresses(&member.addresses)
            ));
            if let Some(endpoint) = member.endpoint {
                line(format_args!("Endpoint = {endpoint}"));
                if let Some(keepalive) = wireguard.keepalive {
                    // Whole seconds, and 0 would turn it off.
                    let seconds = keepalive.duration().as_secs().max(1);
                    line(format_args!("PersistentKeepalive = {seconds}"));
                }
            }
        }
        Ok(RenderedFile {
            path: Layout::WG_CONF,
            contents: out,
            mode: 0o600,
        })
    }
}

/// Each member has addresses and a key, and none of them is another's.
fn check_members(members: &[&Member]) -> Result<(), RenderError> {
    let (mut addresses, mut keys) = (BTreeMap::new(), BTreeMap::new());
    for member in members {
        let id = || member.id.clone();
        if member.addresses.is_empty() {
            return Err(RenderError::NoAddress { id: id() });
        }
        if let Some(other) = keys.insert(&member.wireguard_public_key, *member) {
            return Err(RenderError::DuplicateKey {
                id: other.id.clone(),
                other: id(),
            });
        }
        for address in &member.addresses {
            if let Some(other) = addresses.insert(*address, *member) {
                let (other, id) = (id(), other.id.clone());
                return Err(RenderError::DuplicateAddress {
                    id,
                    other,
                    address: *address,
                });
            }
        }
    }
    Ok(())
}

fn own_addresses<'a>(addresses: impl IntoIterator<Item = &'a IpAddr>) -> String {
    let hosts: Vec<String> = addresses
        .into_iter()
        .map(|a| IpNet::from(*a).to_string())
        .collect();
    hosts.join(", ")
}
