//! Our figures beside those of others, measured in one run on one core.
//!
//! `cargo run --release --manifest-path bench-peers/Cargo.toml -- [--json] [--rounds N]`
//!
//! Absolute numbers say more about the machine than about the code, so every figure is a ratio to
//! something measured in the same minute: the bare cipher, the bare curve, or another engine. A
//! program contains our engine either with ring or with the pure-Rust crates; so this one builds the other
//! form of itself and lets it measure in turn with the rest.
#![forbid(unsafe_code)]

mod measure;
mod ours;
mod quic;
mod raw;
mod report;
mod wireguard;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use measure::Subject;

/// How long each subject runs in each round: short, so that a round of all of them meets one weather.
const SLICE: Duration = Duration::from_millis(30);

/// The rate of each round, in operations a second, by name.
type Rates = BTreeMap<&'static str, Vec<f64>>;

/// Names of what the other form of this program measures, and the same of this one.
const OURS: [(&str, &str); 3] = [
    ("pure datagrams 1200", "ring datagrams 1200"),
    ("pure messages 64", "ring messages 64"),
    ("pure handshakes", "ring handshakes"),
];

fn ours(names: [&'static str; 3]) -> Vec<Subject> {
    let [datagrams, messages, handshakes] = names;
    vec![ours::datagrams(datagrams), ours::messages(messages), ours::handshakes(handshakes)]
}

fn others() -> Vec<Subject> {
    vec![
        raw::ring_aead("raw ring 1200", 1_200),
        raw::ring_aead("raw ring 64", 64),
        raw::pure_aead("raw pure 1200", 1_200),
        raw::pure_aead("raw pure 64", 64),
        raw::curve("raw curve"),
        quic::datagrams("quinn-proto datagrams 1200"),
        wireguard::datagrams("boringtun datagrams 1200"),
        wireguard::handshakes("boringtun handshakes"),
        wireguard::first_handshakes("boringtun first handshakes"),
    ]
}

/// This program without ring, which measures when it is told to.
struct Other {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Other {
    fn start() -> Other {
        let folder = env!("CARGO_MANIFEST_DIR");
        let built = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()))
            .args(["build", "--release", "--quiet", "--no-default-features", "--manifest-path"])
            .args([&format!("{folder}/Cargo.toml"), "--target-dir", &format!("{folder}/target/pure")])
            .status();
        assert!(built.is_ok_and(|status| status.success()), "error: the form without ring does not build");
        let mut child = Command::new(format!("{folder}/target/pure/release/bench-peers"))
            .arg("--serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("what was built can be started");
        let (to, from) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        Other { child, to, from: BufReader::new(from) }
    }

    fn rate(&mut self, index: usize) -> f64 {
        writeln!(self.to, "{index}").expect("it listens");
        let mut line = String::new();
        self.from.read_line(&mut line).expect("it answers");
        line.trim().parse().expect("with a number")
    }

    fn stop(mut self) {
        drop(self.to);
        let _ = self.child.wait();
    }
}

/// Measures whatever the lines on standard input ask for.
fn serve() {
    let mut subjects = ours(OURS.map(|(pure, _)| pure));
    for line in std::io::stdin().lines() {
        let Some(subject) = line.ok().and_then(|line| subjects.get_mut(line.parse::<usize>().ok()?)) else {
            return;
        };
        println!("{}", subject.rate(SLICE));
    }
}

fn measure(rounds: usize) -> Rates {
    let mut other = Other::start();
    let mut subjects = others();
    subjects.extend(ours(OURS.map(|(_, ring)| ring)));
    let mut values = Rates::new();
    for round in 0..=rounds {
        for subject in &mut subjects {
            values.entry(subject.name).or_default().push(subject.rate(SLICE));
        }
        for (index, (name, _)) in OURS.iter().enumerate() {
            values.entry(name).or_default().push(other.rate(index));
        }
        if round == 0 {
            // The first round warms caches, and our rate controllers.
            values.clear();
        }
    }
    other.stop();
    values
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut rounds = 31;
    let mut json = false;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match (argument.as_str(), rest.as_slice().first().and_then(|next| next.parse().ok())) {
            ("--serve", _) => return serve(),
            ("--json", _) => json = true,
            ("--rounds", Some(number)) if number > 0 => {
                rounds = number;
                rest.next();
            }
            _ => {
                eprintln!("error: {argument} is not understood; usage: bench-peers [--json] [--rounds N]");
                std::process::exit(2);
            }
        }
    }
    let rows = report::rows(&measure(rounds));
    print!("{}", if json { report::json(&rows) } else { report::table(&rows) });
}
