//! A certificate authority for machines without a cloud: node certificates that carry TLS identity, WireGuard key, addresses and roles.
