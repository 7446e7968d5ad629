#!/usr/bin/env bash
# A long run of fuzz targets: fuzz/long.sh [EXECUTIONS EACH, default 1000000] [TARGET...]. Prints a table
# of what was run; the exit code is 1 when any target found something.
. "$(dirname "$0")/lib.sh"
runs=${1:-1000000}
shift || true
need_tools
build
status=0
table='target                    executions    seconds  new inputs  findings'
for target in ${*:-$(targets)}; do
    log=$(mktemp)
    begun=$SECONDS
    findings=0
    run "$target" -runs="$runs" -print_final_stats=1 >"$log" 2>&1 || findings=1
    if [ $findings = 1 ]; then
        status=1
        tail -n 40 "$log"
    fi
    new=$(sed -n 's/^stat::new_units_added: *//p' "$log")
    table+=$(printf '\n%-24s %11s %10s %11s %9s' "$target" "$(executions "$log")" $((SECONDS - begun)) "$new" "$findings")
    rm "$log"
done
printf '%s\n' "$table"
exit $status
