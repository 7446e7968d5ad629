use super::*;

const COUNT: u64 = 3;

fn header(at: u64) -> Header {
    Header {
        scenarios: vec!["a".to_owned(), "b".to_owned()],
        seeds: (5, 10),
        shard: (at, COUNT),
        choices: "--set loss=1".to_owned(),
        verify: false,
    }
}

fn line(scenario: &str, seed: u64) -> Line {
    Line {
        scenario: scenario.to_owned(),
        seed,
        verdict: "pass".to_owned(),
        checker: None,
        reason: None,
        trace_hash: String::new(),
        wall_seconds: 0.0,
        excusable: Vec::new(),
        rare: false,
        replay: format!("replay {scenario} {seed}"),
    }
}

/// The file of one part, as a sweep writes it.
fn file(header: &Header) -> (String, String) {
    let part = header.part();
    let mut text = serde_json::to_string(header).unwrap() + "\n";
    for (scenario, seed) in (0..part.len()).map(|n| part.run(n).unwrap()) {
        let name = &header.scenarios[usize::try_from(scenario).unwrap()];
        text += &(serde_json::to_string(&line(name, seed)).unwrap() + "\n");
    }
    (format!("{}.jsonl", header.shard.0), text)
}

fn files() -> Vec<(String, String)> {
    (0..COUNT).map(|at| file(&header(at))).collect()
}

#[track_caller]
fn refused(files: &[(String, String)], parts: &[&str]) {
    let error = merge(files).expect_err("something is wrong").to_string();
    for part in parts {
        assert!(error.contains(part), "no `{part}` in {error}");
    }
}

#[test]
fn parts_cut_the_work_without_gap_or_overlap() {
    let lines = merge(&files()).unwrap();
    let seen: Vec<(&str, u64)> = lines.iter().map(|line| (line.scenario.as_str(), line.seed)).collect();
    let all: Vec<(&str, u64)> =
        ["a", "b"].iter().flat_map(|name| (5..10).map(move |seed| (*name, seed))).collect();
    assert_eq!(seen, all);
    let few = Part { scenarios: 1, seeds: 0..2, shard: (2, 3) };
    assert_eq!((few.len(), few.run(0)), (0, None));
    let most = Part { scenarios: 11, seeds: 0..u64::MAX, shard: (1, 2) };
    assert_eq!(
        (most.len(), most.run(0), most.run(1 << 40)),
        (u64::MAX, Some((1, 0)), Some((3, 199_911_205_050)))
    );
}

#[test]
fn a_part_or_a_run_that_is_missing_or_there_twice_is_named() {
    let whole = files();
    refused(&whole[1..], &["1 of 3 shards", "0/3"]);
    refused(&whole[..1], &["2 of 3 shards", "1/3"]);
    refused(&[whole[0].clone(), whole[0].clone()], &["shard 0/3 is there twice"]);
    refused(&[], &["no run"]);
    for at in 0..whole.len() {
        let lines = whole[at].1.lines().count();
        for kept in 1..lines {
            let mut cut = whole.clone();
            cut[at].1 = whole[at].1.split_inclusive('\n').take(kept).collect();
            refused(
                &cut,
                &[&format!("{} of {} runs", lines - kept, lines - 1), &format!("{at}.jsonl"), "seed"],
            );
        }
        let mut empty = whole.clone();
        empty[at].1.clear();
        refused(&empty, &["empty", &format!("{at}.jsonl")]);
        let mut torn = whole.clone();
        torn[at].1.truncate(whole[at].1.len() - 3);
        refused(&torn, &["not a line of a sweep", &format!("{at}.jsonl:{lines}:")]);
        let mut twice = whole.clone();
        let last = whole[at].1.lines().last().unwrap().to_owned();
        twice[at].1 += &last;
        refused(&twice, &["is there twice", &format!("{at}.jsonl:{}:1", lines + 1)]);
    }
}

#[test]
fn a_line_of_another_part_or_with_an_unknown_verdict_is_refused() {
    let whole = files();
    for (from, to, said) in [
        ("\"verdict\":\"pass\"", "\"verdict\":\"Pass\"", "no verdict `Pass`"),
        ("\"seed\":5", "\"seed\":10", "seed 10 is no run of shard 0/3"),
        ("\"seed\":5", "\"seed\":4", "seed 4 is no run of shard 0/3"),
        ("\"scenario\":\"a\"", "\"scenario\":\"c\"", "c seed 5 is no run of shard 0/3"),
        ("\"scenario\":\"a\"", "\"scenario\":\"b\"", "b seed 5 is no run of shard 0/3"),
    ] {
        let mut wrong = whole.clone();
        wrong[0].1 = whole[0].1.replacen(from, to, 1);
        assert_ne!(wrong[0], whole[0], "{from}");
        refused(&wrong, &[said, "0.jsonl:2:1"]);
    }
}

#[test]
fn parts_of_different_sweeps_are_not_added_up() {
    let changes: [fn(&mut Header); 5] = [
        |header| header.scenarios.reverse(),
        |header| header.seeds.1 += 1,
        |header| header.shard.1 += 1,
        |header| header.choices.clear(),
        |header| header.verify = true,
    ];
    for change in changes {
        let mut other = header(1);
        change(&mut other);
        refused(&[file(&header(0)), file(&other)], &["different sweeps", "0.jsonl and 1.jsonl"]);
    }
    for senseless in [
        Header { scenarios: Vec::new(), ..header(0) },
        Header { seeds: (5, 5), ..header(0) },
        Header { shard: (3, 3), ..header(0) },
    ] {
        let text = serde_json::to_string(&senseless).unwrap();
        refused(&[("x".to_owned(), text)], &["describes no sweep", "x:1:1"]);
    }
}
