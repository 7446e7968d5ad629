//! What a router says that lies about the map.
//!
//! It is a real router with real sessions: what it says is sealed and arrives as every word of a neighbour does. Only what it
//! signs with its own key, in its own name, can be believed.

use bytes::Bytes;
use proto_core::identity::{LocalIdentity, Network};
use proto_core::ids::RouterId;
use proto_core::node::Node;
use proto_core::routing::message::Builder;
use proto_core::routing::metric::Cost;
use proto_core::routing::record::{Content, Link, PAGE_LINKS, Part, RecordKey, SignedRecord};

use super::Cast;
use crate::plan::Lie;

/// Bytes of a message.
const MESSAGE: usize = 1_100;
/// The first sequence number of a lie: above all that an honest router comes to in 2^19 starts.
const LATE: u64 = 1 << 49;

/// The messages of the `n`th lie.
pub(super) fn messages(node: &Node, cast: &Cast, lie: Lie, n: u64, heard: &mut Vec<Vec<u8>>) -> Vec<Bytes> {
    let Some(routing) = node.routing() else { return Vec::new() };
    let own = routing.router();
    let others: Vec<RouterId> = routing.next_hops().into_iter().map(|(to, _)| to).collect();
    let say = |about: RouterId, page: usize, links: Vec<Link>| {
        let is_own = |(identity, _): &(&LocalIdentity, &Network)| RouterId::of(identity.device()) == own;
        let own = cast.identities.iter().zip(&cast.networks).find(is_own);
        let part = u32::try_from(page).ok().and_then(Part::page);
        let Some(((identity, network), part)) = own.zip(part) else { return Vec::new() };
        let key = RecordKey { router: about, part };
        let content = Content::Page(links);
        SignedRecord::sign(&identity.secrets().sign, network.id(), key, LATE + n, content).bytes.to_vec()
    };
    let records: Vec<Vec<u8>> = match lie {
        Lie::Forge => others.iter().map(|&other| say(other, 0, Vec::new())).collect(),
        Lie::Links => others
            .chunks(PAGE_LINKS)
            .enumerate()
            .map(|(page, some)| {
                let link = |&to| Link { to, cost: Cost::from_code(0) };
                say(own, page, some.iter().map(link).collect())
            })
            .collect(),
        Lie::Replay => {
            if heard.is_empty() {
                heard.extend(routing.all_records().map(<[u8]>::to_vec));
            }
            heard.clone()
        }
        // What it does, not what it says.
        Lie::Swallow => Vec::new(),
    };
    pack(&records)
}

/// As many records in a message as it takes.
fn pack(records: &[Vec<u8>]) -> Vec<Bytes> {
    let mut messages = Vec::new();
    let mut builder = Builder::records(MESSAGE);
    for record in records {
        if builder.record(record).is_err() {
            messages.push(std::mem::replace(&mut builder, Builder::records(MESSAGE)).finish());
            // A record that no message takes is left out.
            let _ = builder.record(record);
        }
    }
    if !builder.is_empty() {
        messages.push(builder.finish());
    }
    messages
}
