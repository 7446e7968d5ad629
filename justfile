# Every recurring command. `just` alone lists them; each is one line that can be copied without just.

# list the commands
default:
    @just --list

# all tests of the workspace, as the README has it
test:
    cargo test --workspace

# the scenarios, one line each
list *ARGS:
    cargo run --release -p scenarios -- list {{ ARGS }}

# one scenario on one seed: just run two-nodes-ninety-percent-loss --seed 42
run *ARGS:
    cargo run --release -p scenarios -- run {{ ARGS }}

# many seeds on all cores: just sweep crash-and-restart --seeds 0..1000, or --all for every scenario
sweep *ARGS:
    cargo run --release -p scenarios -- sweep {{ ARGS }}

# add up the line files of a sweep's shards: just merge shard-0.jsonl shard-1.jsonl
merge *ARGS:
    cargo run --release -p scenarios -- merge {{ ARGS }}

# run a saved plan or regression again: just replay scenarios/regressions/late-answers.toml
replay *ARGS:
    cargo run --release -p scenarios -- replay {{ ARGS }}

# say whether a plan is valid: just check plan.toml
check *ARGS:
    cargo run --release -p scenarios -- check {{ ARGS }}

# compare the committed trace hashes; `just golden --update` rewrites them
golden *ARGS:
    cargo run --release -p scenarios -- golden {{ ARGS }}

# the table of figures, as ratios to limits measured in the same run; memory beside a figure measured once
bench *ARGS:
    cargo run --release -p scenarios -- bench {{ ARGS }}

# the same figures of other engines, pulled in by a crate outside the workspace
bench-peers *ARGS:
    cargo run --release --manifest-path bench-peers/Cargo.toml -- {{ ARGS }}

# every planted bug must be found, by the right checker
zoo *ARGS:
    cargo run --release -p scenarios --features zoo -- zoo {{ ARGS }}

# a short run of every fuzz target (nightly toolchain and cargo-fuzz)
fuzz-smoke:
    bash fuzz/smoke.sh

# one fuzz target for long: just fuzz-long TARGET 10000000
fuzz-long TARGET RUNS="1000000":
    bash fuzz/long.sh {{ RUNS }} {{ TARGET }}

# build the core for targets without std, 32-bit ones included
no-std:
    bash io-embedded/check-no-std.sh

# what the sources themselves must keep: layers, names, sizes, dependencies, links
tidy:
    cargo test -p tests --test tidy

# lay the code out
fmt:
    cargo fmt --all

# all lints, as errors
clippy:
    cargo clippy --workspace --all-targets -- -D warnings

# the interface documentation and the book (mdBook: cargo install mdbook)
docs:
    cargo doc --workspace --no-deps
    mdbook build docs

# licences, bans and sources by cargo-deny itself; `just tidy` checks the same lists without it
deny:
    cargo deny check bans licenses sources

# everything that must hold before a change lands
ci:
    .ci/run
