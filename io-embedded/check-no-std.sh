#!/usr/bin/env bash
# Builds proto-core and io-embedded without std for three microcontroller targets: Cortex-M4 and M0+ (Arm, 32
# bits; the second without compare-and-swap) and RISC-V.
#
# With rustup targets installed it uses them (rustup target add thumbv7em-none-eabihf thumbv6m-none-eabi
# riscv32imac-unknown-none-elf). Where no target can be added it builds core and alloc itself with
# Debian's own compiler (packages rustc-web, cargo-web, rust-web-src).
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/no-std"
for target in thumbv7em-none-eabihf thumbv6m-none-eabi riscv32imac-unknown-none-elf; do
    flags='--cfg poly1305_backend="soft"'
    case $target in thumbv6m-*) flags="$flags --cfg portable_atomic_unsafe_assume_single_core" ;; esac
    # `bytes` takes its atomics from portable-atomic where the processor has no compare-and-swap.
    if rustup target list --installed 2>/dev/null | grep -qx "$target"; then
        echo "proto-core, io-embedded for $target (rustup)"
        RUSTFLAGS="$flags" cargo build --release -p proto-core -p io-embedded --features small-atomics --target "$target"
    elif [ -x /usr/bin/cargo ] && [ -x /usr/bin/rustc ]; then
        echo "proto-core, io-embedded for $target (system compiler, core built here)"
        RUSTUP_TOOLCHAIN='' RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS="$flags" /usr/bin/cargo build --release \
            -Zbuild-std=core,alloc -p proto-core -p io-embedded --features small-atomics --target "$target"
    else
        echo "error: no compiler for $target; run: rustup target add $target (or install rustc-web cargo-web rust-web-src)" >&2
        exit 1
    fi
done
