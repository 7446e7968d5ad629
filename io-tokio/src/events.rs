//! The node's events on their way to the application, which may be slower than the network.
//!
//! A shelf for parcels has room for so many and bears so much weight. When either is used up the next
//! parcel stays in the node's hand, and the node takes no more in until the application has made room: an
//! application that sleeps costs no more memory than the shelf.

use std::sync::Arc;

use proto_core::limits::Limits;
use proto_core::node::Event;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// An event, and its place on the shelf: given back when the event is taken.
type Placed = (Event, OwnedSemaphorePermit);

/// Where the application takes its events. At most [`Limits::outputs`] wait, with the bytes of one peer's share
/// ([`Limits::receive_share`]); while there is no room the node drops what arrives.
#[derive(Debug)]
pub struct Events(mpsc::Receiver<Placed>);

impl Events {
    /// The next event; `None` when the node has stopped and all were taken. Nothing is lost when the future
    /// is dropped.
    pub async fn recv(&mut self) -> Option<Event> {
        self.0.recv().await.map(|(event, _place)| event)
    }

    /// The next event that waits already.
    pub fn try_recv(&mut self) -> Option<Event> {
        self.0.try_recv().ok().map(|(event, _place)| event)
    }
}

/// Where the runner puts them.
#[derive(Debug)]
pub(crate) struct Outlet {
    sender: mpsc::Sender<Placed>,
    bytes: Arc<Semaphore>,
    most_bytes: u32,
}

impl Outlet {
    /// Both ends of a shelf for a node with these limits.
    pub(crate) fn new(limits: &Limits) -> (Outlet, Events) {
        let room = usize::try_from(limits.outputs).unwrap_or(usize::MAX).clamp(16, 65_536);
        let most_bytes = limits.receive_share().max(1);
        let (sender, receiver) = mpsc::channel(room);
        let bytes = Arc::new(Semaphore::new(most_bytes as usize));
        (Outlet { sender, bytes, most_bytes }, Events(receiver))
    }

    /// An end whose other one is gone: whatever is put there is dropped.
    pub(crate) fn nowhere() -> Outlet {
        let bytes = Arc::new(Semaphore::new(0));
        Outlet { sender: mpsc::channel(1).0, bytes, most_bytes: 0 }
    }

    /// Nobody is left to take anything.
    pub(crate) async fn closed(&self) {
        self.sender.closed().await;
    }

    /// Passes the event on, or gives it back when there is no room.
    pub(crate) fn try_send(&self, event: Event) -> Result<(), Event> {
        let Ok(place) = Arc::clone(&self.bytes).try_acquire_many_owned(self.weight(&event)) else {
            return Err(event);
        };
        match self.sender.try_send((event, place)) {
            Err(TrySendError::Full((event, _place))) => Err(event),
            Ok(()) | Err(TrySendError::Closed(_)) => Ok(()),
        }
    }

    /// Passes the held event on when there is room; waits for ever when none is held. It stays where it
    /// is when the future is dropped before.
    pub(crate) async fn hand_over(&self, held: &mut Option<Event>) {
        let Some(event) = held.as_ref() else { return std::future::pending().await };
        let place = Arc::clone(&self.bytes).acquire_many_owned(self.weight(event)).await;
        match (self.sender.reserve().await, place) {
            (Ok(permit), Ok(place)) => {
                if let Some(event) = held.take() {
                    permit.send((event, place));
                }
            }
            // Nobody is left to take it; the runner sees that next.
            (Err(_), _) | (_, Err(_)) => *held = None,
        }
    }

    fn weight(&self, event: &Event) -> u32 {
        u32::try_from(event.payload_bytes()).unwrap_or(u32::MAX).min(self.most_bytes)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proto_core::ids::NodeId;
    use proto_core::node::Delivery;

    use super::*;

    fn message(len: usize) -> Event {
        let payload = Bytes::from(vec![0; len]);
        Event::Message { from: NodeId([0; 32]), delivery: Delivery::Message, seq: 0, again: false, payload }
    }

    #[tokio::test]
    async fn the_shelf_bears_no_more_than_a_share() {
        let limits = Limits { outputs: 64, ..Limits::TINY };
        let share = limits.receive_share() as usize;
        let (outlet, mut events) = Outlet::new(&limits);
        for _ in 0..4 {
            assert!(outlet.try_send(message(share / 4)).is_ok());
        }
        assert!(outlet.try_send(message(0)).is_ok(), "what weighs nothing still has its place");
        let mut held = outlet.try_send(message(1)).err();
        assert!(held.is_some(), "a byte too many");
        tokio::select! {
            biased;
            () = outlet.hand_over(&mut held) => unreachable!("there is no room"),
            () = std::future::ready(()) => {}
        }
        assert!(held.is_some(), "kept when the wait is given up");
        assert!(events.recv().await.is_some());
        outlet.hand_over(&mut held).await;
        assert!(held.is_none());
        let left = std::iter::from_fn(|| events.try_recv()).count();
        assert_eq!(left, 5);
    }

    #[tokio::test]
    async fn it_has_places_for_so_many() {
        let (outlet, mut events) = Outlet::new(&Limits { outputs: 16, ..Limits::TINY });
        let placed = (0..20).filter(|_| outlet.try_send(message(0)).is_ok()).count();
        assert_eq!(placed, 16);
        assert!(events.try_recv().is_some() && outlet.try_send(message(0)).is_ok());
    }

    /// A message larger than the share, from limits that allow it, passes alone.
    #[tokio::test]
    async fn the_heaviest_passes_alone() {
        let (outlet, mut events) = Outlet::new(&Limits::TINY);
        let share = Limits::TINY.receive_share() as usize;
        assert!(outlet.try_send(message(3 * share)).is_ok());
        assert!(outlet.try_send(message(1)).is_err());
        assert!(events.recv().await.is_some() && outlet.try_send(message(1)).is_ok());
    }

    #[tokio::test]
    async fn nobody_there_is_no_obstacle() {
        let (outlet, events) = Outlet::new(&Limits::TINY);
        drop(events);
        assert!(outlet.try_send(message(1)).is_ok());
        let mut held = Some(message(1));
        outlet.hand_over(&mut held).await;
        assert!(held.is_none());
        outlet.closed().await;
        assert!(Outlet::nowhere().try_send(message(0)).is_ok());
    }
}
