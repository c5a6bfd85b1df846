//! Typed subjects over NATS, permissions that follow from them, and delivery said honestly.
