#!/usr/bin/env bash
# Stands for rustc in fuzz builds. The crates of the cryptographic primitives are compiled without counters: their
# branches and comparisons say nothing about which input is new, and counting them took six tenths of the time of
# a whole node's executions.
rustc=$1
shift
primitives=' aead argon2 blake2 blake3 chacha20 chacha20poly1305 cipher curve25519_dalek ed25519_dalek poly1305 sha2 '
primitives+='subtle universal_hash x25519_dalek '
name=
for ((at = 1; at < $#; at++)); do
    if [ "${!at}" = --crate-name ]; then
        next=$((at + 1))
        name=${!next}
        break
    fi
done
arguments=("$@")
if [[ -n "$name" && "$primitives" == *" $name "* ]]; then
    arguments=()
    for argument in "$@"; do
        case "$argument" in
        -Cpasses=sancov-module | -Cllvm-args=-sanitizer-coverage-*) ;;
        *) arguments+=("$argument") ;;
        esac
    done
fi
exec "$rustc" "${arguments[@]}"
