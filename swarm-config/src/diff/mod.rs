//! What changes between two plans, and between two sets of rendered files.

mod files;
mod plans;

pub use files::{DiffLine, FileChange, FileChangeKind, files};
pub use plans::{Action, NodeChange, PlanDiff, SettingChange, plans};
