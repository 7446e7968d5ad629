//! A sensor with 16 KiB to spare talks to a machine with gigabytes, over packets of 64 bytes.
//!
//! Of the 64 bytes, 24 may be the session's; a reading of 8 KiB becomes two hundred pieces. The
//! server could send sixteen megabytes in one message and must not; the sensor must be able to say
//! how much it takes, and every size in between has its own way to go wrong: nothing at all, exactly
//! one packet, one byte more. It matters because this pair is what the network is for.
//!
//! What must hold: every size from 0 bytes to the sensor's limit passes both ways, once.
//!
//! Promised: every size up to 300 bytes and the last three sizes in every seed, and of the sizes in
//! between one in `stride`, chosen by the seed, so that `stride` seeds in a row cover every size.

use simulator::Verdict;
use simulator::plan::{FlowPlan, LinkKind, LinkPlan, NodePlan, Plan, Profile};

use super::{HOUR, MINUTE, cannot_judge};
use crate::fail::Usage;
use crate::params::{Key, Params};
use crate::scenario::{Case, Findings, Scenario};

const MTU: Key = Key { name: "mtu", default: "64", help: "largest packet of the link in bytes, 64 to 65507" };
const STRIDE: Key = Key {
    name: "stride",
    default: "64",
    help: "one in so many of the sizes above 300, 1 to 8192; 1 sends all",
};

/// Sizes up to this are sent in every seed: several packets at the smallest MTU.
const EVERY_SIZE_TO: u32 = 300;

/// See the module.
pub const SCENARIO: Scenario = Scenario {
    name: "tiny-meets-server",
    shows: "a TINY node with MTU 64 and a SERVER node exchange every size from 0 bytes to the limit",
    keys: &[MTU, STRIDE],
    takes_nodes: false,
    takes_duration: false,
    takes_topology: false,
    plan,
    judge,
    quick: |params| params.with("stride", "512"),
};

fn plan(params: &Params) -> Result<Plan, Usage> {
    let mtu = params.number(&MTU, 64..=65_507)? as u16;
    let stride = params.number(&STRIDE, 1..=8_192)? as u32;
    let mut plan = Plan::new(SCENARIO.name, params.seed, 10 * MINUTE);
    plan.calm_us = HOUR;
    plan.expect.stop_early = true;
    let tiny = plan.add_node(NodePlan { profile: Profile::Tiny, ..NodePlan::default() });
    let server = plan.add_node(NodePlan { profile: Profile::Server, ..NodePlan::default() });
    let mut link = LinkPlan::new(LinkKind::Plain, &[tiny, server]);
    link.mtu = Some(mtu);
    link.rate_bps = Some(1_000_000);
    link.delay_us = Some(10_000);
    (link.loss_there_ppm, link.loss_back_ppm) = (20_000, 20_000);
    plan.add_link(link);
    plan.add_peer(tiny, server);
    let limit = plan.limits(tiny).message_bytes;
    let sizes = sizes(limit, stride, params.seed);
    for (from, to) in [(tiny, server), (server, tiny)] {
        let flow = FlowPlan::new(from, to, sizes.len() as u64, 0);
        plan.flows.push(FlowPlan { size: (0, limit), sizes: sizes.clone(), ..flow });
    }
    Ok(plan)
}

fn sizes(limit: u32, stride: u32, seed: u64) -> Vec<u32> {
    let phase = (seed % u64::from(stride)) as u32;
    (0..=limit).filter(|&size| size <= EVERY_SIZE_TO || size + 2 >= limit || size % stride == phase).collect()
}

/// Bytes on the wire for a byte of payload, in millionths: at an MTU of 64 a packet carries some 30 of a
/// large message and costs an acknowledgement of nearly its own size now and then, and the small sizes
/// cost more (4.2 to 5.0 measured); beyond is a storm.
const MOST_WIRE_PPM: u64 = 8_000_000;

fn judge(case: &Case<'_>, findings: &mut Findings) {
    findings.demand_all_once(case.outcome);
    let expected: u64 = case.plan.flows.iter().map(|flow| flow.count).sum();
    findings.demand_taken(case.outcome, expected);
    findings.count("sizes", case.plan.flows.first().map_or(0, |flow| flow.count));
    findings.count(
        "largest_bytes",
        case.plan.flows.iter().flat_map(|flow| &flow.sizes).copied().max().map_or(0, u64::from),
    );
    if expected == 0 {
        return cannot_judge(findings, "it has no messages");
    }
    let payload: u64 = case.outcome.flow_reports.iter().map(|flow| flow.bytes_delivered).sum();
    let ratio_ppm = simulator::outcome::share_ppm(case.outcome.bytes_on_wire, payload);
    findings.share("wire_bytes_per_payload_byte", ratio_ppm);
    findings.demand(ratio_ppm <= MOST_WIRE_PPM, Verdict::Resource, || {
        format!(
            "{} bytes went over the wire for each byte of payload; at most {} were promised",
            ratio_ppm / 1_000_000,
            MOST_WIRE_PPM / 1_000_000
        )
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consecutive_seeds_cover_every_size() {
        let mut seen = vec![false; 8_193];
        for seed in 1_000..1_064 {
            for size in sizes(8_192, 64, seed) {
                seen[size as usize] = true;
            }
        }
        assert!(seen.iter().all(|seen| *seen));
        assert_eq!(sizes(8_192, 1, 0).len(), 8_193);
        assert!(sizes(8_192, 64, 5).ends_with(&[8_190, 8_191, 8_192]));
    }
}
