# What `smoke.sh` and `long.sh` share: the tools, the targets, one build of all of them. Sourced, not run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The parsers are safe Rust, so what can go wrong is a panic; the address sanitizer only makes that
# search slower. SANITIZER=address turns it on.
SANITIZER="${SANITIZER:-none}"
TOOLCHAIN="${FUZZ_TOOLCHAIN:-nightly}"
# cargo-fuzz replaces the flags of .cargo/config.toml.
export RUSTFLAGS="${RUSTFLAGS:---cfg poly1305_backend=\"soft\"}"
TARGET_DIR="${CARGO_TARGET_DIR:-fuzz/target}/fuzz"
unset CARGO_TARGET_DIR

need_tools() {
    if ! rustup run "$TOOLCHAIN" rustc --version >/dev/null 2>&1; then
        rustup toolchain install "$TOOLCHAIN" --profile minimal
    fi
    if ! cargo fuzz --version >/dev/null 2>&1; then
        RUSTFLAGS= cargo install --quiet --locked cargo-fuzz
    fi
}

targets() {
    cargo "+$TOOLCHAIN" fuzz list --fuzz-dir fuzz
}

build() {
    RUSTC_WRAPPER="$PWD/fuzz/rustc.sh" cargo "+$TOOLCHAIN" fuzz build --fuzz-dir fuzz --sanitizer "$SANITIZER" --target-dir "$TARGET_DIR"
}

# run TARGET OPTIONS...: runs one built target. What it finds worth keeping goes to a folder that is not
# committed; a crash is written to fuzz/artifacts/TARGET.
run() {
    local target=$1
    shift
    local found="fuzz/artifacts/found/$target"
    mkdir -p "$found" "fuzz/artifacts/$target"
    "$TARGET_DIR/$(rustc "+$TOOLCHAIN" -vV | sed -n 's/^host: //p')/release/$target" \
        -artifact_prefix="fuzz/artifacts/$target/" -max_len=4096 -timeout=20 -rss_limit_mb=2048 "$@" \
        "$found" "fuzz/corpus/$target"
}

# The number of executions that a log ends with.
executions() {
    sed -n 's/^stat::number_of_executed_units: *//p' "$1"
}
