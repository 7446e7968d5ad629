//! The one owner of all machines.

pub mod input;
pub mod output;

pub use input::{Class, Command, Delivery, Input, LinkInfo, LinkState, Medium, PeerSpec, Send};
pub use output::{DownReason, Event, Outcome, Output, Refused, RejectReason, Transmit};
