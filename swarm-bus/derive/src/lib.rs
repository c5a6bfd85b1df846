//! The derive macro of swarm-bus: a topic from a subject template.
