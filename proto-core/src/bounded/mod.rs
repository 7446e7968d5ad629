//! Containers that cannot grow past what their owner allows.

mod deadlines;
mod queue;
mod ring;

pub use deadlines::Deadlines;
pub use queue::RefuseQueue;
pub use ring::{Seen, Window};
