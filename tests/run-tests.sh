#!/usr/bin/env bash
# Runs test parts and ends with one line "N passed, N failed, N skipped" over all of them.
#
#   tests/run-tests.sh PART…     unit gpu stress emu cli examples checks fuzz, or all
#
# TFOPS_BUILD         where the programs are (tools, tests/, fakes/, plugins/, examples/); default build
# TFOPS_REQUIRE_GPU=1 a skipped test is a failure, in every part that needs a GPU
# TFOPS_TEST_WRAPPER  valgrind or compute-sanitizer: runs the programs under it
# TFOPS_STRESS        short (default) or long, read by the stress tests
# TFOPS_TEST_SECONDS  how long a unit test may take, where programs are slow (coverage, a loaded machine)
# TFOPS_TEST_JOBS     how many scripts of tools run at a time (default: one a processor)
# TFOPS_EMU           quick or full: less or more of the emulated tests; CXX builds the variants
#
# A test program or script says with its exit status what happened: 0 passed, 77 skipped (its last
# line says why), anything else failed. One whose last line is "N passed, N failed, N skipped" counts
# that many. Every test sees TFOPS_BUILD (absolute), TFOPS_SOURCE (the tree) and a fresh
# XDG_CACHE_HOME; the user's caches are never touched.
set -uo pipefail
export LC_ALL=C

here=$(cd "$(dirname "$0")/.." && pwd)
TFOPS_BUILD=$(cd "${TFOPS_BUILD:-$here/build}" && pwd)
TFOPS_SOURCE=${TFOPS_SOURCE:-$here}
TFOPS_STRESS=${TFOPS_STRESS:-short}
export TFOPS_BUILD TFOPS_SOURCE TFOPS_STRESS
# Two runs on one host have fake GPUs of their own: the lock on one is the host's.
export FAKE_CUDA_HOST=$$
unset TFOPS_CACHE TFOPS_KERNEL_DIR TFOPS_DUMP_DIR MAKEFLAGS MAKELEVEL MFLAGS

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export XDG_CACHE_HOME=$scratch/cache TMPDIR=$scratch/tmp
mkdir -p "$XDG_CACHE_HOME" "$TMPDIR"
chmod 700 "$XDG_CACHE_HOME"

# Sanitizers: leaks count, preloaded fakes are allowed, CUDA may map where the shadow has its gap.
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:verify_asan_link_order=0:protect_shadow_gap=0}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1:second_deadlock_stack=1}

passed=0 failed=0 skipped=0
failures=()
skips=()

wrapper=()
case ${TFOPS_TEST_WRAPPER:-} in
valgrind)
    # Not a tool's worker, in which NVRTC would take longer than a compile may.
    wrapper=(env LD_PRELOAD="$TFOPS_BUILD/fakes/libno_git.so" valgrind --quiet --trace-children=yes
        --trace-children-skip='*/tfops-worker' --error-exitcode=99 --leak-check=full
        --show-leak-kinds=definite --errors-for-leak-kinds=definite --child-silent-after-fork=no)
    ;;
compute-sanitizer)
    wrapper=(compute-sanitizer --tool memcheck --target-processes all --error-exitcode 99)
    ;;
'') ;;
*)
    echo "run-tests.sh: TFOPS_TEST_WRAPPER: expected valgrind or compute-sanitizer, got '$TFOPS_TEST_WRAPPER'" >&2
    exit 2
    ;;
esac

# count NAME PASSED FAILED SKIPPED
count() {
    passed=$((passed + $2)) failed=$((failed + $3)) skipped=$((skipped + $4))
    [ "$3" = 0 ] || failures+=("$1")
    [ "$4" = 0 ] || skips+=("$1${5:+: $5}")
    printf '  %-44s %d passed, %d failed, %d skipped\n' "$1" "$2" "$3" "$4"
}

# skip_or_fail NAME WHY: for what needs a GPU.
gpu_required() { [ "${TFOPS_REQUIRE_GPU:-0}" = 1 ]; }

# criterion NAME PROGRAM SECONDS [OPTION…]: counts from its TAP report.
criterion() {
    local name=$1 program=$2 seconds=${3:-1200} tap=$scratch/$1.tap rc=0
    shift 3
    built "$name" "$program" || return 0
    : >"$tap" # what is stopped leaves none
    timeout --kill-after=10 "$seconds" "${wrapper[@]}" "$program" --tap="$tap" "$@" || rc=$?
    local ok not_ok skip
    skip=$(grep -ci '^ok .*# skip' "$tap" 2>/dev/null)
    ok=$(($(grep -c '^ok ' "$tap" 2>/dev/null) - skip))
    not_ok=$(grep -c '^not ok ' "$tap" 2>/dev/null)
    grep -i '^ok .*# skip' "$tap" 2>/dev/null | sed 's/^ok - /  SKIPPED: /; s/ *# [Ss][Kk][Ii][Pp]/:/'
    # Stopped, killed or without a report: a failure even when no test says so.
    if [ "$rc" != 0 ] && [ "$not_ok" = 0 ]; then
        printf '  %s ended with status %d\n' "$name" "$rc"
        not_ok=1
    fi
    if [ "$name" = gpu-tests ] && gpu_required; then
        not_ok=$((not_ok + skip)) skip=0
    fi
    count "$name" "$ok" "$not_ok" "$skip"
}

# built NAME PROGRAM: a part without its program is a failure, not nothing to do.
built() {
    [ -x "$2" ] && return 0
    printf '  %s is not built: %s\n' "$1" "${2#"$TFOPS_BUILD/"}"
    count "$1" 0 1 0
    return 1
}

# attempt LOG SECONDS COMMAND…: its output is left in LOG, its status, when it has ended, in LOG.rc.
attempt() {
    local log=$1 seconds=$2 rc=0
    shift 2
    timeout --kill-after=10 "$seconds" "$@" >"$log" 2>&1 </dev/null || rc=$?
    echo "$rc" >"$log.ended" && mv "$log.ended" "$log.rc"
}

# single NAME SECONDS COMMAND…: one program by the rules above. Its output is shown when it fails.
single() {
    local name=$1
    shift
    attempt "$scratch/log" "$@"
    tell "$name" "$scratch/log"
}

# tell NAME LOG: how an attempt ended.
tell() {
    local name=$1 log=$2 rc last
    rc=$(cat "$log.rc")
    last=$(tail -n 1 "$log")
    if [ "$rc" = 0 ] && [ "${verbose:-0}" = 1 ]; then
        sed 's/^/    /' "$log"
    fi
    if [ "$rc" != 0 ] && [ "$rc" != 77 ]; then
        sed 's/^/    /' "$log"
        printf '  %s ended with status %d\n' "$name" "$rc"
    fi
    if [[ $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed,\ ([0-9]+)\ skipped$ ]]; then
        local bad=${BASH_REMATCH[2]}
        [ "$rc" = 0 ] || [ "$bad" != 0 ] || bad=1
        count "$name" "${BASH_REMATCH[1]}" "$bad" "${BASH_REMATCH[3]}"
    elif [ "$rc" = 0 ]; then
        count "$name" 1 0 0
    elif [ "$rc" = 77 ]; then
        printf '  SKIPPED: %s: %s\n' "$name" "$last"
        if gpu_required && [[ $last == *GPU* ]]; then
            count "$name" 0 1 0
        else
            count "$name" 0 0 1 "$last"
        fi
    else
        count "$name" 0 1 0
    fi
}

# The programs of a folder; where there are none, the folder: it fails as a program that is not built.
programs() {
    find "$1" -maxdepth 1 -type f -perm -u+x ! -name '*.so' 2>/dev/null | sort | grep . || echo "$1/*"
}

# Under Valgrind each test is a process of some seconds, of minutes where a reference computes: an hour and more
# on two cores.
part_unit() {
    criterion unit-tests "$TFOPS_BUILD/tests/unit-tests" "${TFOPS_UNIT_SECONDS:-${wrapper:+10800}}" \
        ${wrapper:+-j$((2 * $(nproc)))} --timeout "${TFOPS_TEST_SECONDS:-${wrapper:+9}60}"
}

# One job: tests that time, and one CUDA context at a time.
part_gpu() { criterion gpu-tests "$TFOPS_BUILD/tests/gpu-tests" "${TFOPS_GPU_SECONDS:-1800}" -j1 --timeout "${wrapper:+9}300"; }

part_stress() {
    local program
    for program in $(programs "$TFOPS_BUILD/tests/stress"); do
        built "stress/${program##*/}" "$program" || continue
        single "stress/${program##*/}" 1200 "${wrapper[@]}" "$program"
    done
}

part_emu() {
    local program
    for program in $(programs "$TFOPS_BUILD/tests/emu"); do
        built "emu/${program##*/}" "$program" || continue
        single "emu/${program##*/}" "${TFOPS_EMU_SECONDS:-$([ "${TFOPS_EMU:-}" = quick ] && echo 900 || echo 43200)}" "$program"
    done
}

# A script for each processor at a time, each with a cache and fake GPUs of its own; told in their order.
part_cli() {
    local script scripts=() next=0 told=0 running=0 jobs=${TFOPS_TEST_JOBS:-$(nproc)}
    if ! [[ $jobs =~ ^[1-9][0-9]*$ ]]; then
        echo "run-tests.sh: TFOPS_TEST_JOBS: expected a positive number, got '$jobs'" >&2
        exit 2
    fi
    for script in "$TFOPS_SOURCE"/tests/cli/*.sh; do
        # lib*.sh is what the others source.
        case ${script##*/} in lib*) continue ;; esac
        [ ! -e "$script" ] || scripts+=("$script")
    done
    while [ "$told" -lt ${#scripts[@]} ]; do
        while [ "$running" -lt "$jobs" ] && [ "$next" -lt ${#scripts[@]} ]; do
            mkdir -m 700 "$XDG_CACHE_HOME/$next"
            XDG_CACHE_HOME=$XDG_CACHE_HOME/$next FAKE_CUDA_HOST=$((FAKE_CUDA_HOST + 1009 * next)) \
                attempt "$scratch/cli-$next" 600 bash "${scripts[next]}" &
            next=$((next + 1)) running=$((running + 1))
        done
        wait -n
        running=$((running - 1))
        # One that was killed has left no status.
        [ -n "$(jobs -rp)" ] || [ -e "$scratch/cli-$told.rc" ] || echo 137 >"$scratch/cli-$told.rc"
        while [ "$told" -lt "$next" ] && [ -e "$scratch/cli-$told.rc" ]; do
            tell "cli/$(basename "${scripts[told]}")" "$scratch/cli-$told"
            told=$((told + 1))
        done
    done
}

part_examples() {
    local program
    for program in $(programs "$TFOPS_BUILD/examples"); do
        built "examples/${program##*/}" "$program" || continue
        single "examples/${program##*/}" 120 "$program"
    done
}

part_checks() {
    cd "$TFOPS_SOURCE" || exit 1
    single check-deps-self-test 120 tools/check-deps.sh --self-test
    single check-templates-self-test 120 tools/check-templates.sh --self-test
    local check
    for check in check-deps check-templates check-headers check-abi check-install; do
        single "$check" 300 "${MAKE:-make}" --no-print-directory "$check"
    done
    verbose=1 single check-arch 1800 "${MAKE:-make}" --no-print-directory check-arch-quick
}

part_fuzz() {
    local program name
    for program in $(programs "$TFOPS_BUILD/fuzz"); do
        name=${program##*/}
        built "fuzz/$name" "$program" || continue
        mkdir -p "$TFOPS_BUILD/corpus/$name"
        if [ -d "$TFOPS_SOURCE/tests/fuzz/corpus/$name" ]; then
            cp "$TFOPS_SOURCE/tests/fuzz/corpus/$name"/* "$TFOPS_BUILD/corpus/$name/"
        fi
        single "fuzz/$name" 3600 "$program" -max_total_time="${FUZZ_SECONDS:-30}" -timeout=10 \
            -artifact_prefix="$TFOPS_BUILD/corpus/$name-" "$TFOPS_BUILD/corpus/$name"
    done
}

[ $# -gt 0 ] || set -- all
[ "$1" != all ] || set -- checks unit emu stress cli examples gpu
for part in "$@"; do
    if ! declare -F "part_$part" >/dev/null; then
        echo "run-tests.sh: no part $part" >&2
        exit 2
    fi
    printf '%s\n' "== $part"
    "part_$part"
done

printf '\n'
for name in "${skips[@]}"; do printf 'skipped: %s\n' "$name"; done
for name in "${failures[@]}"; do printf 'FAILED: %s\n' "$name"; done
printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" = 0 ]
