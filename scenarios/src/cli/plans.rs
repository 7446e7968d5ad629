//! `list` and `check`: what there is, and whether a file is in order.

use serde_json::json;
use simulator::plan::Plan;

use super::args::{CheckArgs, ListArgs};
use crate::fail::Usage;
use crate::scenarios::ALL;

/// Prints every scenario.
pub(super) fn list(args: &ListArgs) -> Result<u8, Usage> {
    if args.json {
        let all: Vec<_> = ALL
            .iter()
            .map(|scenario| {
                let keys: Vec<_> = scenario
                    .keys
                    .iter()
                    .map(|key| json!({ "name": key.name, "default": key.default, "help": key.help }))
                    .collect();
                json!({
                    "name": scenario.name,
                    "shows": scenario.shows,
                    "keys": keys,
                    "nodes": scenario.takes_nodes,
                    "duration": scenario.takes_duration,
                    "topology": scenario.takes_topology,
                })
            })
            .collect();
        super::print_json(&all);
        return Ok(0);
    }
    let width = ALL.iter().map(|scenario| scenario.name.len()).max().unwrap_or(0);
    for scenario in ALL {
        super::print(&format!("{:width$}  {}", scenario.name, scenario.shows));
    }
    Ok(0)
}

/// Reads a plan, or says where it is wrong.
pub(super) fn read_plan(path: &std::path::Path) -> Result<Plan, Usage> {
    let text = super::read_text(path, "plan")?;
    Plan::from_toml(&text).map_err(|error| {
        let place = format!("{}:{}:{}", path.display(), error.line, error.column);
        Usage::new(error.message, place, "correct the plan; docs/src/spec/simulator.md describes its keys")
    })
}

/// Says whether a plan is valid.
pub(super) fn check(args: &CheckArgs) -> Result<u8, Usage> {
    let plan = read_plan(&args.file)?;
    if args.json {
        super::print_json(&json!({
            "valid": true,
            "name": plan.name,
            "seed": plan.seed,
            "nodes": plan.node_count(),
            "links": plan.links.len(),
            "flows": plan.flows.len(),
            "faults": plan.faults.len(),
        }));
    } else {
        super::print(&format!(
            "valid: {}: nodes {}, links {}, flows {}, faults {}",
            plan.name,
            plan.node_count(),
            plan.links.len(),
            plan.flows.len(),
            plan.faults.len()
        ));
    }
    Ok(0)
}
