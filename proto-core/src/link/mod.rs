//! link.

pub mod frame;
pub mod path;
