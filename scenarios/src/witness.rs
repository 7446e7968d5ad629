//! A second witness, who lives elsewhere.
//!
//! Two people who saw the same thing from the same window may be wrong in the same way. Whether a run
//! depends on the environment, on addresses or on what ran before shows only where these differ. So
//! `--verify` asks another process of this program, which has other environment variables (language,
//! time zone, home, and one of another length, which moves the stack) and runs each plan in a thread of
//! its own.
//!
//! The witness reads one question a line on its standard input and writes one answer a line on its
//! standard output, until its input ends. One witness serves many plans; each thread that asks has its
//! own while it asks.

use std::io::{self, BufRead, BufReader, Write};
use std::ops::Range;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use simulator::Real;
use simulator::plan::Plan;
use simulator::verify::{Trail, elsewhere};

use crate::memory::Metered;

/// The subcommand under which this program is a witness.
pub(crate) const COMMAND: &str = "witness";

/// What differs from the environment of whoever asks.
const ENVIRONMENT: [(&str, &str); 6] = [
    ("LANG", "tr_TR.UTF-8"),
    ("LC_ALL", "tr_TR.UTF-8"),
    ("TZ", "Pacific/Kiritimati"),
    ("HOME", "/nonexistent"),
    ("TMPDIR", "/nonexistent"),
    ("THALLUS_SEED", "18446744073709551615"),
];

#[derive(Serialize, Deserialize)]
struct Question {
    plan: String,
    window: Range<u64>,
}

/// Witnesses that nobody asks at the moment.
static IDLE: Mutex<Vec<Witness>> = Mutex::new(Vec::new());

struct Witness {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Witness {
    fn call() -> io::Result<Witness> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(COMMAND).envs(ENVIRONMENT).env("THALLUS_WITNESS", "x".repeat(4_321));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        Ok(Witness { child, to, from: BufReader::new(from) })
    }

    fn ask(&mut self, question: &Question) -> io::Result<Trail> {
        let mut line = serde_json::to_string(question)?;
        line.push('\n');
        self.to.write_all(line.as_bytes())?;
        let mut answer = String::new();
        if self.from.read_line(&mut answer)? == 0 {
            let status = self.child.wait()?;
            return Err(io::Error::other(format!("it ended with {status}")));
        }
        Ok(serde_json::from_str(&answer)?)
    }
}

/// A witness, asked about one plan.
pub(crate) struct Asked {
    plan: String,
    witness: Option<Witness>,
}

impl Asked {
    pub(crate) fn new(plan: &Plan) -> Asked {
        let witness = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Asked { plan: plan.to_toml(), witness }
    }

    /// What a run of the plan came to elsewhere.
    ///
    /// # Panics
    /// When there can be no second run: without one there is nothing to compare with, which must not
    /// look like a pass.
    pub(crate) fn run(&mut self, window: Range<u64>) -> Trail {
        let question = Question { plan: self.plan.clone(), window };
        let answer = match &mut self.witness {
            Some(witness) => witness.ask(&question),
            none => Witness::call().and_then(|witness| none.insert(witness).ask(&question)),
        };
        answer.unwrap_or_else(|error| panic!("no process for the second run: {error}"))
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            IDLE.lock().unwrap_or_else(PoisonError::into_inner).extend(self.witness.take());
        }
    }
}

/// The witness's part: answers until there are no more questions.
///
/// # Errors
/// A question that is none, and a pipe that broke.
pub(crate) fn serve(questions: impl BufRead, mut answers: impl Write) -> io::Result<()> {
    for line in questions.lines() {
        let question: Question = serde_json::from_str(&line?)?;
        let plan = Plan::from_toml(&question.plan).map_err(|error| io::Error::other(error.to_string()))?;
        let trail = Trail::from(elsewhere::<Metered<Real>>(&plan, question.window));
        let mut line = serde_json::to_string(&trail)?;
        line.push('\n');
        answers.write_all(line.as_bytes())?;
        answers.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_witness_answers_every_question_with_the_same_trail_as_a_run_here() {
        let params = crate::params::Params::default().with_seed(3);
        let plan = crate::scenarios::find("incompatible-versions").unwrap().make(&params).unwrap();
        let ask = |window| serde_json::to_string(&Question { plan: plan.to_toml(), window }).unwrap();
        let questions = format!("{}\n{}\n", ask(0..0), ask(1..3));
        let mut answers = Vec::new();
        serve(questions.as_bytes(), &mut answers).unwrap();
        let trails: Vec<Trail> = answers
            .split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect();
        let here = crate::engine::run(&plan, crate::engine::How::default()).outcome;
        assert_eq!(trails.len(), 2);
        assert!(
            trails.iter().all(|trail| (&trail.trace_hash, trail.steps) == (&here.trace_hash, here.steps))
        );
        assert_eq!((trails[0].window.len(), trails[1].window.len()), (0, 2));
        assert!(serve(&b"{}\n"[..], Vec::new()).is_err());
    }
}
