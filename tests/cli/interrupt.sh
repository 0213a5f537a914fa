#!/usr/bin/env bash
# SIGINT stops a run cleanly: exit 1, the summary is there, the cache is whole and keeps what was
# compiled. With the fake driver: what was measured too, and the next run does not take it for the
# result.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
need_nvrtc
fake=$bin/fakes/libfake_cuda.so

# binaries_in FILE: how many a cache that is written to has by now.
binaries_in() {
    "$bin/tfops-cache" stats "$1" --json 2>/dev/null | grep -o '"binaries":[0-9]*' | cut -d: -f2
}

# interrupt FILE N ARGS…: tfops-tune with this cache, stopped when it holds N binaries. Bash gives
# background commands an ignored SIGINT; the tool installs its own handler over it.
interrupt() {
    local cache=$1 wanted=$2 tool now
    shift 2
    "$bin/tfops-tune" "$@" --cache "$cache" --json >"$scratch/out" 2>"$scratch/err" &
    tool=$!
    for _ in $(seq 600); do
        now=$(binaries_in "$cache")
        [ "${now:-0}" -ge "$wanted" ] && break
        sleep 0.1
    done
    kill -INT "$tool"
    rc=0
    wait "$tool" || rc=$?
}

if [ -e "$fake" ]; then
    export TFOPS_LIBCUDA=$fake FAKE_CUDA_L2=262144
    shape="rmsnorm rows=64 hidden=512 --strategy random --max-configs 16 --seed 1"
    # shellcheck disable=SC2086
    interrupt "$scratch/r.db" 9 $shape
    check 'measuring: exit' exits 1
    check 'measuring: what is there is recorded' out_has '"recorded":true'
    run tfops-cache list "$scratch/r.db" --json
    check 'list --json: interrupted' out_has '"interrupted":true'
    run tfops-cache list "$scratch/r.db"
    check 'list: interrupted' out_has '(interrupted)'
    run tfops-cache show "$scratch/r.db"
    check 'show: interrupted' out_has '^date.*of an interrupted run'
    cp "$scratch/r.db" "$scratch/plain.db"
    # shellcheck disable=SC2086
    run tfops-tune $shape --resume --cache "$scratch/r.db" --json
    check 'resume: exit' exits 0
    check 'resume: tunes on' out_has '"recorded":true'
    check 'resume: takes samples over' above "$(grep -c '"text":"found by the run' "$scratch/out")" 0
    run tfops-cache list "$scratch/r.db" --json
    check 'resume: one record, of a finished run' out_has '"interrupted":false'
    check 'resume: one record' out_lines 1
    # shellcheck disable=SC2086
    run tfops-tune $shape --resume --cache "$scratch/r.db"
    check 'resume once more: is done' out_has 'already recorded'
    cp "$scratch/r.db" "$scratch/done.db"
    # shellcheck disable=SC2086
    interrupt "$scratch/done.db" 20 $shape --seed 2 --force
    check 'a second time: exit' exits 1
    run tfops-cache list "$scratch/done.db" --json
    check "a finished run's record stays" out_has '"interrupted":false'
    # shellcheck disable=SC2086
    run tfops-tune $shape --cache "$scratch/plain.db" --json
    check 'without --resume: tunes' out_has '"recorded":true'
    check 'without --resume: from the start' equals "$(grep -c '"text":"found by the run' "$scratch/out")" 0
fi

without_gpu
interrupt "$scratch/c.db" 1 rmsnorm rows=16 hidden=1024,2048,3072,4096,5120,6144,7168,8192 \
    --dtype f16,bf16,f32 --compile-only --arch sm_90a
check 'exit' exits 1
check 'says that it stops' err_has stopping
check 'the summary ends it' last_has '"event":"summary"'
check 'JSON' all_json
run tfops-cache verify "$scratch/c.db" --json
check 'the cache is whole' exits 0
check 'something was kept' above "$(number binaries)" 0
finish
