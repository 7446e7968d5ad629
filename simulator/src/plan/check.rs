//! Whether a plan makes sense: every number in range, every name pointing at something.

use std::collections::BTreeSet;

use proto_core::limits::Limits;
use proto_core::zoo::Bug;

use super::units::LONGEST_SPAN_US;
use super::{FlowPlan, LinkPlan, NodePlan, Plan, What};

/// Where in the plan something is wrong: keys and positions from the top, as in `link[3].mtu`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place(pub Vec<Step>);

/// One step into a plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// A key of a table.
    Key(String),
    /// A position in a list.
    At(usize),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if i == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::At(at) => write!(f, "[{at}]")?,
            }
        }
        Ok(())
    }
}

type Checked = Result<(), (Place, String)>;

fn wrong(list: &str, at: usize, key: &str, message: impl Into<String>) -> Checked {
    let mut steps = vec![Step::Key(list.to_owned())];
    if at != usize::MAX {
        steps.push(Step::At(at));
    }
    steps.extend(key.split('.').filter(|part| !part.is_empty()).map(|part| Step::Key(part.to_owned())));
    Err((Place(steps), message.into()))
}

/// The longest name of a plan, in bytes. With a seed and an extension behind it, it is still a file's name
/// everywhere (255 bytes at most on every file system in use).
const NAME_BYTES: usize = 64;

/// Whether a plan may be called this: what is saved about a run is a file named after its plan, so a name
/// can neither lead into another folder nor hide a file.
fn check_name(name: &str) -> Checked {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > NAME_BYTES || name.starts_with('.') || !name.bytes().all(fits) {
        let message = format!(
            "a plan's name is 1 to {NAME_BYTES} letters a-z and A-Z, digits, `-`, `_` and `.`, and does not begin with `.`"
        );
        return wrong("name", usize::MAX, "", message);
    }
    Ok(())
}

/// Sets one field of `limits` by its name.
pub(super) fn set_limit(limits: &mut Limits, field: &str, value: u64) -> Result<(), String> {
    use proto_core::time::Duration;
    let wide = || format!("limit `{field}` cannot be {value}: too large");
    let u8_ = || u8::try_from(value).map_err(|_| wide());
    let u16_ = || u16::try_from(value).map_err(|_| wide());
    let u32_ = || u32::try_from(value).map_err(|_| wide());
    match field {
        "links" => limits.links = u16_()?,
        "peers" => limits.peers = u16_()?,
        "paths_per_peer" => limits.paths_per_peer = u8_()?,
        "handshakes" => limits.handshakes = u16_()?,
        "free_handshakes_per_s" => limits.free_handshakes_per_s = u16_()?,
        "packet_bytes" => limits.packet_bytes = u32_()?,
        "message_bytes" => limits.message_bytes = u32_()?,
        "send_bytes" => limits.send_bytes = u32_()?,
        "send_messages" => limits.send_messages = u32_()?,
        "receive_bytes" => limits.receive_bytes = u32_()?,
        "receive_messages" => limits.receive_messages = u32_()?,
        "peer_share" => limits.peer_share = u32_()?,
        "in_flight" => limits.in_flight = u16_()?,
        "ack_ranges" => limits.ack_ranges = u16_()?,
        "replay_window" => limits.replay_window = u16_()?,
        "message_window" => limits.message_window = u16_()?,
        "outputs" => limits.outputs = u32_()?,
        "durable_messages" => limits.durable_messages = u32_()?,
        "durable_bytes" => limits.durable_bytes = u32_()?,
        "durable_peers" => limits.durable_peers = u32_()?,
        "revocations" => limits.revocations = u32_()?,
        "routers" => limits.routers = u32_()?,
        "routing_bytes" => limits.routing_bytes = u32_()?,
        "landmarks" => limits.landmarks = u32_()?,
        "place_bytes" => limits.place_bytes = u32_()?,
        "custody_bytes" => limits.custody_bytes = u32_()?,
        "bundle_bytes" => limits.bundle_bytes = u32_()?,
        "gossip_members" => limits.gossip_members = u32_()?,
        "gossip_view" => limits.gossip_view = u8_()?,
        "gossip_bytes" => limits.gossip_bytes = u32_()?,
        "gossip_rate" => limits.gossip_rate = u32_()?,
        "rekey_packets" => limits.rekey_packets = value,
        "rekey_after_us" => limits.rekey_after = Duration::from_micros(value),
        "keepalive_us" => limits.keepalive = Duration::from_micros(value),
        "session_idle_us" => limits.session_idle = Duration::from_micros(value),
        _ => return Err(format!("there is no limit `{field}`; see `Limits` in the core")),
    }
    Ok(())
}

impl Plan {
    /// Checks every number and name.
    ///
    /// # Errors
    /// The first thing that is wrong: where, and what to do.
    pub fn check(&self) -> Checked {
        const TOP: usize = usize::MAX;
        check_name(&self.name)?;
        if self.duration_us == 0 {
            return wrong("duration", TOP, "", "must be longer than 0");
        }
        // Sums of a few such times must not overflow.
        if self.duration_us > LONGEST_SPAN_US || self.calm_us > LONGEST_SPAN_US {
            return wrong("duration", TOP, "", "at most 285 years, with `calm` likewise");
        }
        if self.nodes.is_empty() {
            return wrong("node", TOP, "", "a plan needs at least one [[node]]");
        }
        let count = self.node_count();
        if count > 65_535 {
            return wrong("node", TOP, "", format!("{count} nodes; at most 65535"));
        }
        self.nodes.iter().enumerate().try_for_each(|(at, node)| check_node(at, node))?;
        self.links.iter().enumerate().try_for_each(|(at, link)| check_link(at, link, count))?;
        self.peers.iter().enumerate().try_for_each(|(at, _)| self.check_peer(at))?;
        self.flows.iter().enumerate().try_for_each(|(at, flow)| check_flow(at, flow, count))?;
        self.check_answers()?;
        for (at, broadcast) in self.broadcasts.iter().enumerate() {
            if let Some((key, message)) = broadcast.trouble(count) {
                return wrong("broadcast", at, key, message);
            }
        }
        for (at, member) in self.members.iter().enumerate() {
            if let Some((key, message)) = member.trouble(count) {
                return wrong("member", at, key, message);
            }
        }
        (0..self.faults.len()).try_for_each(|at| self.check_fault(at))?;
        self.check_ids()?;
        if let Some(node) = self.expect.core.iter().find(|&&node| node >= count) {
            return wrong(
                "expect",
                TOP,
                "core",
                format!("there is no node {node}; the last is {}", count - 1),
            );
        }
        Ok(())
    }

    fn check_answers(&self) -> Checked {
        for (at, flow) in self.flows.iter().enumerate() {
            let Some(number) = flow.answers else { continue };
            let Some(question) = self.flows.get(number as usize) else {
                return wrong("flow", at, "answers", format!("there is no flow {number}"));
            };
            if (question.from, question.to) != (flow.to, flow.from) {
                return wrong(
                    "flow",
                    at,
                    "answers",
                    format!("flow {number} is not between these two, the other way"),
                );
            }
            if question.answers.is_some() {
                return wrong("flow", at, "answers", format!("flow {number} is itself an answer"));
            }
        }
        Ok(())
    }

    fn check_peer(&self, at: usize) -> Checked {
        let peer = &self.peers[at];
        let count = self.node_count();
        for (key, node) in [("node", peer.node), ("to", peer.to)] {
            if node >= count {
                return wrong("peer", at, key, format!("there is no node {node}; the last is {}", count - 1));
            }
        }
        if peer.node == peer.to {
            return wrong("peer", at, "to", "a node cannot be its own peer");
        }
        let both = |link: &LinkPlan| link.members.contains(&peer.node) && link.members.contains(&peer.to);
        for number in &peer.links {
            match self.links.get(*number as usize) {
                None => return wrong("peer", at, "links", format!("there is no link {number}")),
                Some(link) if !both(link) => {
                    let message = format!("link {number} does not join nodes {} and {}", peer.node, peer.to);
                    return wrong("peer", at, "links", message);
                }
                Some(_) => {}
            }
        }
        if peer.until_us.is_some_and(|until_us| until_us <= peer.at_us) {
            return wrong("peer", at, "until", "must be after `at`");
        }
        if !self.links.iter().any(both) {
            return wrong("peer", at, "", format!("no link joins nodes {} and {}", peer.node, peer.to));
        }
        Ok(())
    }

    /// Each fault has a number of its own; 0 is for those that nobody has numbered.
    fn check_ids(&self) -> Checked {
        let mut taken = BTreeSet::new();
        for (fault, at) in self.faults.iter().zip(0..).filter(|(fault, _)| fault.id != 0) {
            if !taken.insert(fault.id) {
                return wrong("fault", at, "id", format!("id {} is taken by an earlier fault", fault.id));
            }
        }
        Ok(())
    }

    fn check_fault(&self, at: usize) -> Checked {
        let fault = &self.faults[at];
        let name = format!("what.{}", fault.what.name());
        if fault.end_us < fault.start_us {
            return wrong("fault", at, "end", "must not be before `start`");
        }
        if let Some(node) = fault.what.node().filter(|&node| node >= self.node_count()) {
            return wrong(
                "fault",
                at,
                &name,
                format!("there is no node {node}; the last is {}", self.node_count() - 1),
            );
        }
        for link in fault.what.links().unwrap_or(&[]) {
            if *link as usize >= self.links.len() {
                return wrong(
                    "fault",
                    at,
                    &name,
                    format!("there is no link {link}; there are {}", self.links.len()),
                );
            }
        }
        match self.fault_trouble(&fault.what) {
            Some(message) => wrong("fault", at, &name, message),
            None => Ok(()),
        }
    }

    /// What is out of range in one fault.
    fn fault_trouble(&self, what: &What) -> Option<String> {
        let share = |values: &[u32]| {
            values.iter().any(|&ppm| ppm > 1_000_000).then(|| "a share must be at most 100%".to_owned())
        };
        match what {
            What::Loss { there_ppm, back_ppm, .. } => share(&[*there_ppm, *back_ppm]),
            What::Burst { enter_ppm, leave_ppm, loss_ppm, .. } => share(&[*enter_ppm, *leave_ppm, *loss_ppm]),
            What::Duplicate { share_ppm, .. }
            | What::Reorder { share_ppm, .. }
            | What::Truncate { share_ppm, .. }
            | What::Replay { share_ppm, .. }
            | What::Torn { share_ppm, .. } => share(&[*share_ppm]),
            What::Flip { share_ppm, bits, .. } => {
                if *bits == 0 {
                    Some("`bits` must be at least 1".to_owned())
                } else {
                    share(&[*share_ppm])
                }
            }
            What::Flap { period_us, down_ppm, .. } => {
                if *period_us < 1_000 {
                    Some("`period` must be at least 1ms".to_owned())
                } else {
                    share(&[*down_ppm])
                }
            }
            What::RebootLoop { period_us, down_us, .. } => {
                (*period_us <= *down_us).then(|| "`period` must be longer than `down`".to_owned())
            }
            What::Sleep { period_us, awake_us, .. } => (*awake_us < 1_000 || *period_us <= *awake_us)
                .then(|| "`awake` must be at least 1ms, and `period` longer".to_owned()),
            What::Mtu { mtu, .. } => {
                (*mtu < 64 || *mtu > 65_507).then(|| "`mtu` must be 64 to 65507".to_owned())
            }
            What::Rate { rate_bps, .. } => (*rate_bps == 0).then(|| "`rate` must be more than 0".to_owned()),
            What::Flood { link, target, per_s, size, .. } => {
                self.flood_trouble(*link, *target, *per_s, *size)
            }
            What::Partition { sides } => self.partition_trouble(sides),
            What::Nat { node, links, expire_us, .. } => self.nat_trouble(*node, links, *expire_us),
            What::Drift { ppm, .. } => {
                (ppm.abs() > 500_000).then(|| "`ppm` must be -500000 to 500000".to_owned())
            }
            What::Slow { turn_us, .. } => {
                (*turn_us > 60_000_000).then(|| "`turn` must be at most 1min".to_owned())
            }
            What::Lie { every_us, .. } => {
                (*every_us < 1_000).then(|| "`every` must be at least 1ms".to_owned())
            }
            What::Delay { .. }
            | What::Cut { .. }
            | What::Down { .. }
            | What::Crash { .. }
            | What::CrashUnsynced { .. }
            | What::Pause { .. }
            | What::Clone { .. }
            | What::DiskSlow { .. }
            | What::DiskFull { .. }
            | What::DiskFail { .. }
            | What::Rot { .. }
            | What::Jump { .. }
            | What::WallStep { .. }
            | What::Leap { .. }
            | What::Revoke { .. } => None,
        }
    }

    fn flood_trouble(&self, link: u32, target: u32, per_s: u64, size: (u32, u32)) -> Option<String> {
        let on = self.links.get(link as usize).map(|link| link.members.contains(&target));
        match on {
            None => Some(format!("there is no link {link}")),
            Some(false) => Some(format!("node {target} is not on link {link}")),
            Some(true) if per_s == 0 || per_s > 10_000_000 => {
                Some("`per_s` must be 1 to 10000000".to_owned())
            }
            Some(true) if size.0 > size.1 || size.1 > 65_507 => {
                Some("`size` must be two numbers up to 65507, the smaller first".to_owned())
            }
            Some(true) => None,
        }
    }

    fn nat_trouble(&self, node: u32, links: &[u32], expire_us: u64) -> Option<String> {
        let is_on = |link: &u32| self.links[*link as usize].members.contains(&node);
        let stray = links.iter().find(|link| !is_on(link));
        let alone = (!self.links.iter().any(|link| link.members.contains(&node)))
            .then(|| format!("node {node} is on no link"));
        stray
            .map(|link| format!("node {node} is not on link {link}"))
            .or(alone)
            .or_else(|| (expire_us < 1_000).then(|| "`expire` must be at least 1ms".to_owned()))
    }

    fn partition_trouble(&self, sides: &[Vec<u32>]) -> Option<String> {
        let mut seen = BTreeSet::new();
        let count = self.node_count();
        if let Some(node) = sides.iter().flatten().find(|&&node| node >= count) {
            return Some(format!("there is no node {node}"));
        }
        let twice = sides.iter().flatten().find(|&&node| !seen.insert(node));
        twice.map(|node| format!("node {node} is on two sides"))
    }
}

fn check_node(at: usize, node: &NodePlan) -> Checked {
    if node.count == 0 {
        return wrong("node", at, "count", "must be at least 1");
    }
    if node.drift_ppm.abs() > 500_000 {
        return wrong("node", at, "drift_ppm", "must be -500000 to 500000");
    }
    if node.clock_us > LONGEST_SPAN_US {
        return wrong("node", at, "clock", "at most 285 years");
    }
    if node.disk.torn_ppm > 1_000_000 {
        return wrong("node", at, "disk.torn", "a share must be at most 100%");
    }
    if node.versions.is_some_and(|(low, high)| low > high) {
        return wrong("node", at, "versions", "the lowest version comes first");
    }
    let mut limits = node.profile.limits();
    for (field, value) in &node.limits {
        if let Err(message) = set_limit(&mut limits, field, *value) {
            return wrong("node", at, &format!("limits.{field}"), message);
        }
    }
    if let Err(error) = limits.validate() {
        return wrong("node", at, "limits", error.to_string());
    }
    if let Some(bug) = &node.bug
        && !Bug::ALL.iter().any(|(_, name)| name == bug)
    {
        let names: Vec<&str> = Bug::ALL.iter().map(|(_, name)| *name).collect();
        let guess = super::text::nearest(bug, names.iter().copied());
        return wrong("node", at, "bug", format!("there is no planted bug `{bug}`; did you mean `{guess}`?"));
    }
    Ok(())
}

fn check_link(at: usize, link: &LinkPlan, count: u32) -> Checked {
    if link.members.len() < 2 {
        return wrong("link", at, "members", "a link joins at least two nodes");
    }
    for (i, node) in link.members.iter().enumerate() {
        if *node >= count {
            return wrong(
                "link",
                at,
                "members",
                format!("there is no node {node}; the last is {}", count - 1),
            );
        }
        if link.members[..i].contains(node) {
            return wrong("link", at, "members", format!("node {node} stands there twice"));
        }
    }
    if link.shared == Some(false) && link.members.len() > 2 {
        return wrong("link", at, "shared", "more than two members share the medium");
    }
    if let Some((key, message)) = link.radio_trouble() {
        return wrong("link", at, key, message);
    }
    let spec = link.spec();
    if link.radio.is_some() && spec.mtu < 64 && link.mtu.is_none_or(|mtu| mtu >= 64) {
        return wrong(
            "link",
            at,
            "radio",
            "no packet of 64 bytes is short enough for the law of this region",
        );
    }
    if !(64..=65_507).contains(&spec.mtu) {
        return wrong("link", at, "mtu", "must be 64 to 65507");
    }
    if spec.rate_bps > 0 && spec.queue_bytes < u64::from(spec.mtu) {
        return wrong("link", at, "queue_bytes", format!("must hold one packet of {} bytes", spec.mtu));
    }
    if !(1..=64).contains(&link.segments) {
        return wrong("link", at, "segments", "must be 1 to 64");
    }
    for (key, ppm) in [("loss_there", link.loss_there_ppm), ("loss_back", link.loss_back_ppm)] {
        if ppm > 1_000_000 {
            return wrong("link", at, key, "a share must be at most 100%");
        }
    }
    Ok(())
}

fn check_flow(at: usize, flow: &FlowPlan, count: u32) -> Checked {
    for (key, node) in [("from", flow.from), ("to", flow.to)] {
        if node >= count {
            return wrong("flow", at, key, format!("there is no node {node}; the last is {}", count - 1));
        }
    }
    // What a message is known by holds 40 bits of its number.
    if flow.count > 1 << 40 {
        return wrong("flow", at, "count", "at most 2^40 messages; a second flow can have more");
    }
    if flow.from == flow.to {
        return wrong("flow", at, "to", "a node cannot send to itself");
    }
    const MOST: u32 = 16 * 1024 * 1024;
    if flow.size.0 > flow.size.1 || flow.size.1 > MOST || flow.sizes.iter().any(|&size| size > MOST) {
        return wrong("flow", at, "size", "two numbers up to 16777216, the smaller first");
    }
    Ok(())
}
