//! Two nodes and a wire between them, driven by hand.

mod bench;
mod crowded;
mod full;
mod gossip;
mod kept;
mod pair;
mod places;
mod radio;
mod recovered;
