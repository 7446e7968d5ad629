//! Named chaos scenarios.
