//! link.

pub mod frame;
pub mod messages;
pub mod path;
pub mod schedule;
