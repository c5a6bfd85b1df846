//! Everything that needs more than one module: one binary, one module for each area.

#[cfg(feature = "tls")]
mod fixture;
#[cfg(feature = "front")]
mod front;
#[cfg(feature = "tls")]
mod tls;
