//! For tests of programs that use this crate; outside semver.

mod authority;
mod fuzz;

pub use authority::{TestAuthority, TestNode};
pub use fuzz::{fuzz_bundle, fuzz_crl, fuzz_csr, fuzz_identity};
