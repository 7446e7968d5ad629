//! The command as its users meet it: what it prints, and what it says when it is asked wrongly.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A folder of this test's own, gone when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("thallus-sim-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn sim_in(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_thallus-sim")).args(args).current_dir(folder).output().unwrap()
}

fn sim(args: &[&str]) -> Output {
    sim_in(&std::env::temp_dir(), args)
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", out(output), err(output)))
}

/// Exit code 2, nothing on standard output, and one line `error: what; where; what to do` that
/// contains every one of `parts`.
#[track_caller]
fn refused(args: &[&str], parts: &[&str]) {
    let output = sim(args);
    let text = err(&output);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
    assert_eq!(out(&output), "", "{args:?}");
    let first = text.lines().next().unwrap_or_default();
    assert!(first.starts_with("error: "), "{args:?}: {text}");
    assert!(first.split("; ").count() >= 3, "what; where; what to do: {text}");
    for part in parts {
        assert!(text.contains(part), "{args:?}: no `{part}` in {text}");
    }
}

#[test]
fn wrong_command_lines_are_refused() {
    refused(&[], &["error: no command given; ", "Usage: thallus-sim", "sweep", "replay"]);
    refused(&["swep"], &["sweep"]);
    #[cfg(not(feature = "zoo"))]
    refused(&["zoo", "nonce-reuse", "--json"], &["no planted bugs", "--features zoo"]);
    refused(&["run"], &["NAME"]);
    refused(&["run", "soak-72"], &["no scenario `soak-72`", "did you mean `soak-72h`"]);
    refused(&["run", "soak-72h", "--seed", "seven"], &["seven", "a seed is a whole number"]);
    refused(
        &["run", "soak-72h", "--seed", "-1"],
        &["-1", "a seed is a whole number", "`thallus-sim run --help`"],
    );
    refused(&["sweep", "soak-72h", "--seeds", "-1..3"], &["-1..3", "a seed is a whole number"]);
    refused(&["run", "soak-72h", "--seed", "1", "--duration", "-5s"], &["-5s", "--duration"]);
    refused(&["run", "soak-72h", "--seed", "1", "--nodes", "-3"], &["-3", "give a whole number"]);
    refused(&["run", "soak-72h", "--seed", "18446744073709551616"], &["a seed is a whole number"]);
    refused(&["run", "soak-72h", "--seed", "1", "--duration", "3 parsecs"], &["units"]);
    refused(&["run", "soak-72h", "--seed", "1", "--nodes", "2"], &["3 to 1000"]);
    refused(&["run", "soak-72h", "--seed", "1", "--frobnicate"], &["--frobnicate"]);
    refused(&["run", "bulk-over-bad-links", "--seed", "1", "--nodes", "3"], &["--nodes", "leave it out"]);
    refused(&["run", "bulk-over-bad-links", "--seed", "1", "--duration", "3h"], &["--duration"]);
}

#[test]
#[cfg(unix)]
fn an_argument_that_is_no_text_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let odd = std::ffi::OsStr::from_bytes(b"\xff");
    for args in [vec![odd], vec![std::ffi::OsStr::new("run"), odd]] {
        let output = Command::new(env!("CARGO_BIN_EXE_thallus-sim")).args(&args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", err(&output));
        assert!(err(&output).starts_with("error: "), "{args:?}: {}", err(&output));
    }
}

/// What could only fail, or pass without having shown anything.
#[test]
fn choices_that_a_scenario_cannot_judge_are_refused() {
    let run =
        |name: &'static str, choice: [&'static str; 2]| ["run", name, "--seed", "1", choice[0], choice[1]];
    refused(&run("flood-and-forgery", ["--duration", "3s"]), &["; --duration; give 4s or more"]);
    refused(&run("freifunk-neighbours", ["--duration", "10s"]), &["100 messages", "--duration 200s"]);
    refused(&run("freifunk-neighbours", ["--set", "messages=400"]), &["400 messages", "--duration 800s"]);
    refused(&run("cloned-device-wakes-up", ["--set", "loss=21"]), &["0 to 20 per cent"]);
    refused(&run("two-links-one-dies", ["--set", "loss=11"]), &["0 to 10 per cent"]);
    refused(&run("two-nodes-ninety-percent-loss", ["--set", "delay=10s"]), &["--set delay=10s"]);
}

#[test]
fn wrong_keys_and_values_are_refused() {
    let bulk = |set: &'static str| ["run", "bulk-over-bad-links", "--seed", "1", "--set", set];
    refused(&bulk("los=20"), &["no key `los`", "did you mean `loss`", "bytes"]);
    refused(&bulk("loss=91"), &["0 to 90"]);
    refused(&bulk("loss=much"), &["--set loss=much"]);
    refused(&bulk("loss"), &["KEY=VALUE"]);
    refused(&bulk("bytes=1.5"), &["whole number from 1 to 16777216"]);
    refused(
        &["run", "bulk-over-bad-links", "--set", "loss=1", "--set", "loss=2", "--seed", "1"],
        &["set twice"],
    );
}

#[test]
fn wrong_sweeps_and_merges_are_refused() {
    let folder = Folder::new("sweeps");
    refused(&["sweep", "soak-72h"], &["--seeds"]);
    refused(&["sweep", "--seeds", "0..3"], &["NAMES", "--all"]);
    refused(&["sweep", "--all", "soak-72h", "--seeds", "0..3"], &["--all"]);
    refused(&["sweep", "--all", "--seeds", "3..3"], &["A..B"]);
    refused(&["sweep", "--all", "--seeds", "0..9", "--shard", "4/4"], &["0 to n-1"]);
    refused(&["sweep", "--all", "--seeds", "0..9", "--jobs", "0"], &["--jobs"]);
    refused(&["sweep", "nobody", "--seeds", "0..9"], &["no scenario `nobody`"]);
    refused(
        &["sweep", "soak-72h", "--seeds", "0..2", "--json-lines", "no/such/folder/lines"],
        &["cannot write", "no/such/folder/lines"],
    );
    let kept = folder.file("kept.jsonl", "a night's work\n");
    refused(
        &["sweep", "soak-72h", "--seeds", "0..1", "--set", "bad=1", "--json-lines", &kept],
        &["no key `bad`"],
    );
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "a night's work\n");
    let wrong = folder.file("wrong.jsonl", "{\"scenario\": 3}\n");
    refused(&["merge", &wrong], &["wrong.jsonl:1:", "sweep --json-lines"]);
    refused(&["merge", "nowhere.jsonl"], &["cannot read", "nowhere.jsonl"]);
    refused(&["merge"], &["FILES"]);
    refused(&["bench", "horsepower"], &["horsepower", "known figures"]);
    let one = ["sweep", "soak-72h", "--seeds", "0..1", "--json-lines", &kept];
    refused(&one, &["--json-lines would replace", "kept.jsonl:1"]);
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "a night's work\n");
}

#[test]
fn wrong_plans_are_refused_with_line_and_column() {
    let folder = Folder::new("plans");
    let good = "name = \"x\"\nduration = \"1s\"\n[[node]]\ncount = 2\n[[link]]\nmembers = [0, 1]\n";
    for command in ["check", "replay"] {
        let typo = folder.file("typo.toml", &good.replace("members", "member"));
        refused(&[command, &typo], &["typo.toml:6:1", "did you mean `members`"]);
        let nobody = folder.file("nobody.toml", &good.replace("[0, 1]", "[0, 2]"));
        refused(&[command, &nobody], &["nobody.toml:6:", "no node 2"]);
        let empty = folder.file("empty.toml", "");
        refused(&[command, &empty], &["empty.toml:1:1"]);
        let elsewhere = folder.file("elsewhere.toml", &good.replace("\"x\"", "\"../../evil\""));
        refused(&[command, &elsewhere], &["elsewhere.toml:1:8", "a plan's name"]);
        refused(&[command, "no-such.toml"], &["cannot read the plan", "no-such.toml"]);
        std::fs::write(folder.0.join("bytes.toml"), b"name = \"\xff\"").unwrap();
        refused(&[command, &folder.0.join("bytes.toml").display().to_string()], &["not UTF-8 at byte 8"]);
        refused(&[command, &folder.0.display().to_string()], &["cannot read"]);
    }
    let fine = folder.file("fine.toml", good);
    let output = sim(&["check", &fine]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(out(&output).contains("valid: x: nodes 2, links 1, flows 0"));
    assert_eq!(json(&sim(&["check", &fine, "--json"]))["valid"], true);
}

/// What a wrong plan's error says lists every name there is, and the page that it sends the reader to has them.
#[test]
fn the_page_that_a_wrong_plans_error_names_has_every_fault_and_kind_of_link() {
    let folder = Folder::new("page");
    let good = "name = \"x\"\nduration = \"1s\"\n[[node]]\ncount = 2\n[[link]]\nmembers = [0, 1]\n";
    let fault = format!("{good}[[fault]]\nend = \"1s\"\nwhat.zzzzzzzz = {{ node = 1 }}\n");
    let kind = format!("{good}kind = \"zzzzzzzz\"\n");
    for (text, known) in [(fault, "crash-unsynced"), (kind, "packet-radio")] {
        let plan = folder.file("wrong.toml", &text);
        let error = err(&sim(&["check", &plan]));
        let (_, rest) = error.split_once("expected one of ").expect(&error);
        let (names, remedy) = rest.split_once("; ").expect(&error);
        let page = remedy.split_whitespace().find(|word| word.starts_with("docs/")).expect(&error);
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(page);
        let page = std::fs::read_to_string(&page).unwrap_or_else(|problem| panic!("{error}: {problem}"));
        let words: Vec<&str> = page.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').collect();
        let names: Vec<&str> = names.split(", ").map(|name| name.trim_matches('`')).collect();
        assert!(names.contains(&known), "{names:?}");
        for name in names {
            // The page gives the seven spreading factors as a range.
            let listed = if name.starts_with("lora-sf") { "lora-sf12" } else { name };
            assert!(words.contains(&listed), "`{name}` does not stand on the page of {remedy}");
        }
    }
}

#[test]
fn wrong_topologies_are_refused_with_line_and_column() {
    let folder = Folder::new("topologies");
    let run = |text: &str, parts: &[&str]| {
        let path = folder.file("net.json", text);
        refused(&["run", "freifunk-neighbours", "--seed", "1", "--topology", &path], parts);
    };
    run(
        "{\"nodes\": [{\"id\": 1}],\n \"links\": [{\"source\": 1, \"target\": 7}]}",
        &["net.json:2:36", "node 7"],
    );
    run("{\"links\": [{\"source\": 1, \"target\": 2, \"source_tq\": 1.5}]}", &["net.json:1:", "from 0 to 1"]);
    run("{\"links\": [", &["net.json:1:"]);
    run("", &["net.json:1:1"]);
    let file = "net.json; correct the file";
    run("{\"links\": []}", &["no link connects two nodes", "net.json; give at least one link"]);
    run("{\"links\": [{\"source\": 1, \"target\": 1}]}", &["no link connects two nodes"]);
    let pair = |n: u32| format!("{{\"source\": {}, \"target\": {}}}", 2 * n, 2 * n + 1);
    let pairs: Vec<String> = (0..35_000).map(pair).collect();
    run(&format!("{{\"links\": [{}]}}", pairs.join(",")), &["70000 nodes; at most 65535", file]);
    let star = |n: u32| format!("{{\"source\": 0, \"target\": {n}}}");
    let star: Vec<String> = (1..5_000).map(star).collect();
    run(&format!("{{\"links\": [{}]}}", star.join(",")), &["node 0 has 4999 links", "net.json; leave some"]);
    refused(
        &["run", "freifunk-neighbours", "--seed", "1", "--topology", "nowhere.json"],
        &["cannot read the topology", "nowhere.json"],
    );
    let path = folder.file("net.json", "{\"links\": [{\"source\": 1, \"target\": 2}]}");
    refused(&["run", "soak-72h", "--seed", "1", "--topology", &path], &["--topology", "leave it out"]);
}

#[test]
fn help_shows_an_example_everywhere() {
    for command in ["list", "run", "sweep", "merge", "replay", "check", "golden", "bench"] {
        let output = sim(&[command, "--help"]);
        assert_eq!(output.status.code(), Some(0));
        let text = out(&output);
        let (_, example) = text.split_once("Example: ").expect(command);
        // A file of the project that an example names is there; others are the reader's.
        for path in example.split_whitespace().filter(|word| word.starts_with("scenarios/")) {
            assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path).is_file(), "{path}");
        }
    }
}

#[test]
fn list_names_every_scenario() {
    let text = out(&sim(&["list"]));
    let all = json(&sim(&["list", "--json"]));
    assert_eq!(all.as_array().unwrap().len(), text.lines().count());
    for name in [
        "two-nodes-ninety-percent-loss",
        "bulk-over-bad-links",
        "soak-72h",
        "clock-runs-wild",
        "crash-and-restart",
        "cloned-device-wakes-up",
        "flood-and-forgery",
        "two-links-one-dies",
        "tiny-meets-server",
        "freifunk-neighbours",
        "incompatible-versions",
    ] {
        assert!(text.lines().any(|line| line.starts_with(name)), "{name}");
        assert!(all.as_array().unwrap().iter().any(|scenario| scenario["name"] == name));
    }
}

#[test]
fn a_run_prints_one_document_with_every_promised_field() {
    let folder = Folder::new("run");
    let args = [
        "run",
        "two-nodes-ninety-percent-loss",
        "--seed",
        "5",
        "--set",
        "loss=0",
        "--set",
        "messages=20",
        "--json",
    ];
    let output = sim_in(&folder.0, &args);
    let report = json(&output);
    for field in [
        "scenario",
        "seed",
        "verdict",
        "trace_hash",
        "steps",
        "nodes",
        "virtual_seconds",
        "wall_seconds",
        #[cfg(unix)]
        "processor_seconds",
        "sent",
        "delivered",
        "duplicates",
        "expired",
        "delivered_ratio",
        "latency_ms",
        "bytes_on_wire",
        "bytes_per_node_per_second",
        "control_bytes_per_node_per_second",
        "peak_node_bytes",
        "replay",
        "metrics",
    ] {
        assert!(report.get(field).is_some(), "no {field} in {report}");
    }
    for quantile in ["p50", "p99", "max"] {
        assert!(report["latency_ms"][quantile].is_number());
    }
    assert_eq!((report["verdict"].as_str(), report["seed"].as_u64()), (Some("pass"), Some(5)), "{report}");
    assert_eq!((report["sent"].as_u64(), report["delivered"].as_u64()), (Some(40), Some(40)));
    assert_eq!(
        report["replay"].as_str(),
        Some(
            "cargo run --release -p scenarios -- run two-nodes-ninety-percent-loss --seed 5 --set loss=0 --set messages=20"
        )
    );
    let again = json(&sim_in(&folder.0, &args));
    assert_eq!(report["trace_hash"], again["trace_hash"]);
}

#[test]
fn a_seed_is_drawn_and_printed_first() {
    let args = ["run", "two-nodes-ninety-percent-loss", "--set", "loss=0", "--set", "messages=1"];
    let (first, second) = (out(&sim(&args)), out(&sim(&args)));
    let seed =
        |text: &str| text.lines().next().and_then(|line| line.strip_prefix("seed ")?.parse::<u64>().ok());
    assert!(seed(&first).is_some(), "{first}");
    assert_ne!(seed(&first), seed(&second));
}

#[test]
fn a_plan_can_be_saved_and_replayed_with_the_same_steps() {
    let folder = Folder::new("replay");
    let run = sim_in(
        &folder.0,
        &[
            "run",
            "two-nodes-ninety-percent-loss",
            "--seed",
            "9",
            "--set",
            "messages=30",
            "--save-plan",
            "saved.toml",
            "--json",
        ],
    );
    assert_eq!(run.status.code(), Some(0), "{}", err(&run));
    assert_eq!(sim_in(&folder.0, &["check", "saved.toml"]).status.code(), Some(0));
    let replay = sim_in(&folder.0, &["replay", "saved.toml", "--verify", "--trace", "steps.txt", "--json"]);
    let (run, replay) = (json(&run), json(&replay));
    assert_eq!(run["trace_hash"], replay["trace_hash"]);
    assert_eq!(replay["verified"], true);
    let lines = std::fs::read_to_string(folder.0.join("steps.txt")).unwrap().lines().count() as u64;
    assert_eq!(replay["steps"].as_u64(), Some(lines));
}

/// Nobody keeps this promise: the calm ends before a packet can arrive.
const HOPELESS: &str = "name = \"hopeless\"\nseed = 3\nduration = \"1s\"\ncalm = \"5s\"\n[[node]]\ncount = 2\n\
     [[link]]\nmembers = [0, 1]\ndelay = \"20s\"\n\
     [[peer]]\nnode = 0\nto = 1\n[[flow]]\nfrom = 0\nto = 1\ncount = 1\nsize = [1, 1]\n";

#[test]
fn a_failing_run_says_how_to_repeat_it_and_saves_its_plan() {
    let folder = Folder::new("failing");
    let plan = folder.file("hopeless.toml", HOPELESS);
    let output = sim_in(&folder.0, &["replay", &plan]);
    let text = out(&output);
    assert_eq!(output.status.code(), Some(11), "{text}{}", err(&output));
    for part in [
        "liveness",
        "step",
        "seed 3 of ",
        &format!(", {}\n", scenarios::COMMIT),
        "replay: cargo run --release -p scenarios -- replay",
        "plan: target/thallus-sim/hopeless-3-",
        "trace: target/thallus-sim/hopeless-3-",
    ] {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
    let first = saved(&folder);
    assert_eq!(first.len(), 2, "{first:?}");
    // Another plan of the same name and seed fails: both can be looked at.
    let other = folder.file("other.toml", &HOPELESS.replace("\"20s\"", "\"21s\""));
    assert_eq!(sim_in(&folder.0, &["replay", &other]).status.code(), Some(11));
    let both = saved(&folder);
    assert!(both.len() == 4 && first.iter().all(|file| both.contains(file)), "{both:?}");
    // The same one again is the same file, and a verified run is repeated as one.
    let again = json(&sim_in(&folder.0, &["replay", &other, "--verify", "--json"]));
    assert!(again["replay"].as_str().unwrap().ends_with("other.toml --verify"), "{again}");
    assert_eq!(saved(&folder), both);
}

/// The files that failing runs in this folder have left, with what they hold.
fn saved(folder: &Folder) -> Vec<(String, String)> {
    let files = std::fs::read_dir(folder.0.join("target/thallus-sim")).unwrap();
    let mut files: Vec<_> = files
        .map(|file| file.unwrap().path())
        .map(|path| (path.display().to_string(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn the_replay_line_of_a_file_whose_name_looks_like_an_option_works() {
    let folder = Folder::new("dash");
    folder.file("-x.toml", HOPELESS);
    let failed = json(&sim_in(&folder.0, &["replay", "--json", "--", "-x.toml"]));
    let replay = failed["replay"].as_str().unwrap();
    assert_eq!(replay, "cargo run --release -p scenarios -- replay ./-x.toml");
    folder.file("-net.json", "{\"links\": [{\"source\": 1, \"target\": 2}]}");
    let real = ["run", "freifunk-neighbours", "--seed", "1", "--set", "messages=1", "--json"];
    let passed = json(&sim_in(&folder.0, &[&real[..], &["--topology=-net.json"]].concat()));
    assert!(passed["replay"].as_str().unwrap().ends_with(" --topology ./-net.json"), "{passed}");
}

/// The commit of a build is one that the repository knows; where there is no repository, none is made up.
#[test]
fn the_commit_of_a_build_can_be_checked_out() {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output();
        output.ok().filter(|output| output.status.success())
    };
    if git(&["ls-files", "--error-unmatch", "build.rs"]).is_none() {
        assert_eq!(scenarios::COMMIT, "unknown commit");
        return;
    }
    let name = scenarios::COMMIT.strip_prefix("commit ").expect("a commit");
    let name = name.strip_suffix("-dirty").unwrap_or(name);
    assert!(name.len() >= 12 && name.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
    assert!(git(&["rev-parse", "--quiet", "--verify", &format!("{name}^{{commit}}")]).is_some(), "{name}");
}

#[test]
fn shards_of_a_sweep_merge_into_the_whole() {
    let folder = Folder::new("shards");
    let common = [
        "sweep",
        "two-nodes-ninety-percent-loss",
        "--seeds",
        "0..5",
        "--set",
        "loss=10",
        "--set",
        "messages=5",
    ];
    let whole = json(&sim_in(&folder.0, &[&common[..], &["--json"]].concat()));
    assert_eq!((whole["runs"].as_u64(), whole["passed"].as_u64()), (Some(5), Some(5)), "{whole}");
    for shard in ["0/2", "1/2"] {
        let file = format!("{}.jsonl", &shard[..1]);
        let output = sim_in(&folder.0, &[&common[..], &["--shard", shard, "--json-lines", &file]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    }
    let merged = json(&sim_in(&folder.0, &["merge", "0.jsonl", "1.jsonl", "--json"]));
    for field in ["runs", "passed", "failed", "excusable"] {
        assert_eq!(whole[field], merged[field], "{field}");
    }
    assert!(merged.get("wall_seconds").is_some());
    let lines = |name: &str| std::fs::read_to_string(folder.0.join(name)).unwrap();
    let (zero, one) = (folder.0.join("0.jsonl").display().to_string(), lines("1.jsonl"));
    refused(&["merge", &zero, &zero], &["shard 0/2 is there twice"]);
    refused(&["merge", &zero], &["1 of 2 shards are missing", "1/2"]);
    // The lines stand in the order in which the runs ended.
    let cut: String = one.split_inclusive('\n').filter(|line| !line.contains("\"seed\":3,")).collect();
    assert!(cut.len() < one.len());
    refused(&["merge", &zero, &folder.file("cut.jsonl", &cut)], &["1 of 2 runs of shard 1/2", "seed 3"]);
    let word = folder.file("word.jsonl", &one.replacen("\"pass\"", "\"passed\"", 1));
    refused(&["merge", &zero, &word], &["no verdict `passed`", "word.jsonl:2:1"]);
    refused(&["merge", &folder.file("none.jsonl", "")], &["empty", "none.jsonl"]);
    let torn = folder.file("torn.jsonl", &one[..one.len() - 9]);
    refused(&["merge", &zero, &torn], &["torn.jsonl:", "cut off: sweep this shard again"]);
    let time = folder.file("time.jsonl", &one.replacen("\"wall_seconds\":", "\"wall_seconds\":-", 1));
    refused(&["merge", &zero, &time], &["no run takes -", "time.jsonl:2:1"]);
    folder.file("bad.jsonl", &one.replacen("\"pass\"", "\"resource\"", 1));
    let failed = sim_in(&folder.0, &["merge", "0.jsonl", "bad.jsonl"]);
    assert_eq!(failed.status.code(), Some(13), "{}{}", out(&failed), err(&failed));
    assert!(out(&failed).contains("5 runs, 4 passed, 1 failed"), "{}", out(&failed));
}

/// Under no spelling.
#[test]
#[cfg(unix)]
fn no_file_is_written_over_that_the_command_reads_or_writes() {
    let folder = Folder::new("apart");
    let text = "name = \"x\"\nduration = \"1s\"\n[[node]]\ncount = 2\n[[link]]\nmembers = [0, 1]\n";
    let plan = folder.file("t.toml", text);
    std::os::unix::fs::symlink(&plan, folder.0.join("soft.toml")).unwrap();
    std::fs::hard_link(&plan, folder.0.join("hard.toml")).unwrap();
    std::fs::create_dir_all(folder.0.join("sub")).unwrap();
    let path = |name: &str| folder.0.join(name).display().to_string();
    for other in ["t.toml", "sub/../t.toml", "soft.toml", "hard.toml"] {
        refused(&["replay", &plan, "--trace", &path(other)], &["--trace would write over the plan"]);
        assert_eq!(std::fs::read_to_string(&plan).unwrap(), text, "{other}");
    }
    let run = ["run", "two-nodes-ninety-percent-loss", "--seed", "1", "--set", "messages=1"];
    let both = ["--trace", &path("new"), "--save-plan", &path("sub/../new")];
    refused(&[&run[..], &both].concat(), &["--trace would write over --save-plan"]);
    assert!(!folder.0.join("new").exists());
    // The trace has no place: the plan that was there stays.
    let nowhere = ["--trace", &path("no/such/trace"), "--save-plan", &plan];
    refused(&[&run[..], &nowhere].concat(), &["cannot write", "no/such/trace"]);
    assert_eq!(std::fs::read_to_string(&plan).unwrap(), text);
    // The plan has no place: no empty trace is left behind.
    let nowhere = ["--trace", &path("new"), "--save-plan", &path("no/such/plan")];
    refused(&[&run[..], &nowhere].concat(), &["cannot write", "no/such/plan"]);
    assert!(!folder.0.join("new").exists());
    let net = folder.file("net.json", "{\"links\": [{\"source\": 1, \"target\": 2}]}");
    let real = ["freifunk-neighbours", "--topology", &net];
    refused(&[&["run", "--seed", "1", "--trace", &net][..], &real].concat(), &["--topology"]);
    refused(&[&["run", "--seed", "1", "--save-plan", &net][..], &real].concat(), &["--topology"]);
    refused(&[&["sweep", "--seeds", "0..1", "--json-lines", &net][..], &real].concat(), &["--topology"]);
    assert!(std::fs::read_to_string(&net).unwrap().starts_with("{\"links\""));
    // A device keeps nothing that could be lost.
    let output = sim(&[&run[..], &["--trace", "/dev/null", "--save-plan", "/dev/null"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    // Standard output is one more thing that is written.
    let out_file = std::fs::File::create(folder.0.join("out.txt")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_thallus-sim"))
        .args([&run[..], &["--json", "--trace", &path("out.txt")]].concat())
        .stdout(out_file)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("--trace and standard output are one file"), "{}", err(&output));
}

/// Not even one whose name looks like that of a half-written file.
#[test]
fn a_file_beside_a_saved_plan_is_left_alone() {
    let folder = Folder::new("beside");
    let beside = folder.file("plan.toml.partial", "a night's work\n");
    let run =
        ["run", "two-nodes-ninety-percent-loss", "--seed", "1", "--set", "loss=0", "--set", "messages=1"];
    for _ in 0..2 {
        let output = sim_in(&folder.0, &[&run[..], &["--save-plan", "plan.toml"]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        assert_eq!(std::fs::read_to_string(&beside).unwrap(), "a night's work\n");
    }
    let net = folder.file("map.partial", "{\"links\": [{\"source\": 1, \"target\": 2}]}");
    let real = ["run", "freifunk-neighbours", "--seed", "1", "--set", "messages=1", "--topology", &net];
    let output = sim_in(&folder.0, &[&real[..], &["--save-plan", "map"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(std::fs::read_to_string(&net).unwrap().starts_with("{\"links\""));
    let mut names: Vec<_> =
        std::fs::read_dir(&folder.0).unwrap().map(|file| file.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["map", "map.partial", "plan.toml", "plan.toml.partial"]);
}

/// A failing plan that was saved, and then explained by hand, keeps what was written into it.
#[test]
fn a_failing_plan_is_not_written_over_by_its_own_replay() {
    let folder = Folder::new("own");
    sim_in(&folder.0, &["replay", &folder.file("hopeless.toml", HOPELESS)]);
    let (plan, made) = saved(&folder).into_iter().find(|(path, _)| path.ends_with(".toml")).unwrap();
    let text = "# Seen in the hut on the hill.\n".to_owned() + &made;
    std::fs::write(&plan, &text).unwrap();
    let output = sim_in(&folder.0, &["replay", &plan]);
    assert_eq!(output.status.code(), Some(11), "{}{}", out(&output), err(&output));
    assert_eq!(std::fs::read_to_string(&plan).unwrap(), text);
    assert_eq!(saved(&folder).len(), 2);
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_an_error_with_its_place() {
    let few = ["--set", "loss=0", "--set", "messages=1"];
    let sweep = [
        &["sweep", "two-nodes-ninety-percent-loss", "--seeds", "0..2", "--json-lines", "/dev/full"],
        &few[..],
    ]
    .concat();
    refused(&sweep, &["cannot write", "/dev/full"]);
    let run =
        [&["run", "two-nodes-ninety-percent-loss", "--seed", "1", "--save-plan", "/dev/full"], &few[..]]
            .concat();
    refused(&run, &["cannot write", "/dev/full"]);
}

/// A trace that has no room is an error, and says nothing about the run.
#[test]
#[cfg(target_os = "linux")]
fn a_trace_on_a_full_disk_costs_no_verdict() {
    let folder = Folder::new("untraced");
    let plan = folder.file("hopeless.toml", HOPELESS);
    let replay = ["replay", &plan, "--trace", "/dev/full"];
    let output = sim_in(&folder.0, &replay);
    let (said, text) = (out(&output), err(&output));
    assert_eq!(output.status.code(), Some(11), "{said}{text}");
    assert!(text.contains("error: cannot write: ") && text.contains("; /dev/full; "), "{text}");
    for part in ["liveness", "seed 3 of ", "replay: ", "target/thallus-sim/hopeless-3-"] {
        assert!(said.contains(part), "no `{part}` in {said}");
    }
    // The part of it around the failure is saved where there is room.
    assert!(saved(&folder).iter().any(|(path, _)| path.ends_with(".trace")));
    let output = sim_in(&folder.0, &[&replay[..], &["--json"]].concat());
    assert_eq!((output.status.code(), json(&output)["verdict"].as_str()), (Some(11), Some("liveness")));
    let run =
        ["run", "two-nodes-ninety-percent-loss", "--seed", "1", "--set", "loss=0", "--set", "messages=1"];
    let output = sim(&[&run[..], &["--trace", "/dev/full"]].concat());
    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
    assert!(out(&output).contains("pass: 2 of 2") && err(&output).contains("; /dev/full; "));
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_standard_error_changes_no_exit_code() {
    let run = ["run", "two-nodes-ninety-percent-loss", "--set", "loss=0", "--set", "messages=1"];
    let wrong = ["run", "no-such-scenario"];
    for (args, code) in [(&run[..], 0), (&wrong, 2), (&["bench", "nothing"], 2), (&["--no-such-option"], 2)] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let status =
            Command::new(env!("CARGO_BIN_EXE_thallus-sim")).args(args).stderr(full).output().unwrap().status;
        assert_eq!(status.code(), Some(code), "{args:?}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_standard_output_is_an_error_and_a_closed_one_is_none() {
    let to = |args: &[&str], out: std::process::Stdio| {
        Command::new(env!("CARGO_BIN_EXE_thallus-sim")).args(args).stdout(out).output().unwrap()
    };
    let full =
        || -> std::process::Stdio { std::fs::File::options().write(true).open("/dev/full").unwrap().into() };
    let run =
        ["run", "two-nodes-ninety-percent-loss", "--seed", "1", "--set", "loss=0", "--set", "messages=1"];
    let with_json = [&run[..], &["--json"]].concat();
    for args in [&["list"][..], &["list", "--json"], &run, &with_json, &["--help"], &["--version"]] {
        let output = to(args, full());
        let text = err(&output);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
        let wanted = "error: cannot write all that there is to say: ";
        assert!(
            text.lines().any(|line| line.starts_with(wanted) && line.contains("; standard output; ")),
            "{text}"
        );
    }
    // What failed for another reason has that reason's exit code.
    let folder = Folder::new("full");
    let plan = folder.file("hopeless.toml", HOPELESS);
    let failing = Command::new(env!("CARGO_BIN_EXE_thallus-sim"))
        .args(["replay", &plan])
        .current_dir(&folder.0)
        .stdout(full())
        .output()
        .unwrap();
    assert_eq!(failing.status.code(), Some(11), "{}", err(&failing));
    // Nobody reads any more, as after `| head -1`.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = to(&["list"], writer.into());
    assert_eq!((output.status.code(), err(&output).as_str()), (Some(0), ""));
}

#[test]
fn golden_compares_and_rewrites_only_when_asked() {
    let folder = Folder::new("golden");
    let wrong = folder.file("broken.txt", "what is this\n");
    refused(&["golden", "--file", &wrong], &["broken.txt:1; name a file that"]);
    assert_eq!(std::fs::read_to_string(&wrong).unwrap(), "what is this\n");
    refused(&["golden", "--file", "nowhere.txt"], &["cannot read", "nowhere.txt"]);
    let plan = folder.file("plan.toml", HOPELESS);
    std::fs::write(folder.0.join("bytes"), b"\xff\xfe").unwrap();
    for (path, held) in [(&wrong, &b"what is this\n"[..]), (&plan, HOPELESS.as_bytes())] {
        let place = format!("; {path}:1; name one that");
        refused(&["golden", "--update", "--file", path], &["would replace", &place]);
        assert_eq!(std::fs::read(path).unwrap(), held);
    }
    let bytes = folder.0.join("bytes").display().to_string();
    refused(&["golden", "--update", "--file", &bytes], &["would replace", &bytes]);
    assert_eq!(std::fs::read(&bytes).unwrap(), b"\xff\xfe");
    let output = sim_in(&folder.0, &["golden", "--update"]);
    assert_eq!(output.status.code(), Some(2), "outside the workspace there is nothing to rewrite");
}
