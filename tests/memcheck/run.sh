#!/usr/bin/env bash
# compute-sanitizer over the operators' spaces (walk_space.c), a tool at a time or several.
#
#   tests/memcheck/run.sh [TOOL…]     memcheck racecheck initcheck; default all of them
#
# TFOPS_BUILD              where tests/memcheck/walk_space is; default build
# TFOPS_MEMCHECK_CACHE     binaries that were compiled before (walk_space --compile-only --cache FILE)
# TFOPS_MEMCHECK_SHARDS    processes for each tool; default 4
# TFOPS_MEMCHECK_LOG       a folder that keeps the logs
# TFOPS_MEMCHECK_ARGS      of walk_space, e.g. "--op rmsnorm" or "--full"
# Ends with "N passed, N failed, N skipped", each launch under each tool counted.
set -uo pipefail
export LC_ALL=C

here=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "${TFOPS_BUILD:-$here/build}" && pwd)
shards=${TFOPS_MEMCHECK_SHARDS:-4}
[ $# -gt 0 ] || set -- memcheck racecheck initcheck
sanitizer=$(command -v compute-sanitizer || ls "${CUDA_HOME:-/usr/local/cuda}/bin/compute-sanitizer") 2>/dev/null
if [ -z "$sanitizer" ]; then
    echo "no compute-sanitizer on this host"
    exit 77
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
logs=${TFOPS_MEMCHECK_LOG:-$scratch}
mkdir -p "$logs"

# run TOOL SHARD: with a cache of its own, since writers would wait for each other.
run() {
    local cache=$scratch/$1-$2 rc=0
    mkdir -m 700 "$cache"
    [ -z "${TFOPS_MEMCHECK_CACHE:-}" ] || cp "$TFOPS_MEMCHECK_CACHE" "$cache/walk.db"
    # shellcheck disable=SC2086
    "$sanitizer" --tool "$1" --error-exitcode 99 "$build/tests/memcheck/walk_space" \
        --cache "$cache/walk.db" --shard "$2/$shards" ${TFOPS_MEMCHECK_ARGS:-} \
        >"$logs/$1-$2.log" 2>&1 || rc=$?
    echo "$rc" >"$scratch/$1-$2.rc"
}

for tool in "$@"; do
    for ((shard = 0; shard < shards; shard++)); do run "$tool" "$shard" & done
done
wait

passed=0 failed=0
for tool in "$@"; do
    for ((shard = 0; shard < shards; shard++)); do
        log=$logs/$tool-$shard.log rc=$(cat "$scratch/$tool-$shard.rc")
        summary=$(grep -o '[A-Z]* SUMMARY: .*' "$log" | tail -n 1)
        last=$(grep -o '[0-9]* passed, [0-9]* failed' "$log" | tail -n 1)
        printf '%s %d of %d: %s; %s; status %s\n' "$tool" "$shard" "$shards" "${last:-no result}" \
            "${summary:-no summary}" "$rc"
        [ "$rc" = 0 ] || { grep -m 12 -A 6 'Invalid\|Uninitialized\|hazard\|Error:\|: .*expected' "$log" || :; }
        passed=$((passed + $(cut -d' ' -f1 <<<"${last:-0}")))
        failed=$((failed + $(cut -d' ' -f3 <<<"${last:-0 0 0}")))
        [ "$rc" = 0 ] || failed=$((failed + 1))
    done
done
printf '%d passed, %d failed, 0 skipped\n' "$passed" "$failed"
[ "$failed" = 0 ]
