//! Containers that cannot grow past what their owner allows.

mod deadlines;
mod ring;

pub use deadlines::Deadlines;
pub use ring::{Seen, Window};
