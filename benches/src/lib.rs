//! Every figure of the workspace, measured beside its rivals.
