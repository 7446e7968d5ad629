//! Paths in a small deterministic world.
