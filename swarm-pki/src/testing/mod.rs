//! For tests of programs that use this crate; outside semver.

mod authority;
mod fuzz;
#[cfg(any(feature = "enroll", feature = "front"))]
mod fuzz_shells;

#[cfg(feature = "store")]
pub use crate::store::failpoint::{Interruption, file_operations, interrupt_file_operation};
#[cfg(feature = "store")]
pub use crate::store::fuzz::{fuzz_authority, fuzz_backup, fuzz_store};
pub use authority::{TestAuthority, TestNode};
pub use fuzz::{fuzz_bundle, fuzz_crl, fuzz_csr, fuzz_identity};
#[cfg(feature = "front")]
pub use fuzz_shells::fuzz_path;
#[cfg(feature = "enroll")]
pub use fuzz_shells::{fuzz_grant, fuzz_invite};
