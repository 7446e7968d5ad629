#!/usr/bin/env bash
# A short run of every fuzz target: fuzz/smoke.sh [SECONDS EACH, default 20]. Needs rustup; installs a
# nightly toolchain and cargo-fuzz when they are missing. The first finding ends the run.
. "$(dirname "$0")/lib.sh"
seconds=${1:-20}
need_tools
build
for target in $(targets); do
    log=$(mktemp)
    if ! run "$target" -seed=1 -max_total_time="$seconds" -print_final_stats=1 >"$log" 2>&1; then
        tail -n 40 "$log"
        echo "error: target $target found something; see fuzz/artifacts/$target; fix it and keep the file in fuzz/regressions/$target" >&2
        exit 1
    fi
    printf '%-24s %10s executions in %s s\n' "$target" "$(executions "$log")" "$seconds"
    rm "$log"
done
