#!/usr/bin/env bash
# SIGINT stops a run cleanly: exit 1, the summary is there, the cache is whole and keeps what was
# compiled.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
need_nvrtc
without_gpu

# Bash gives background commands an ignored SIGINT; the tool installs its own handler over it.
"$bin/tfops-tune" rmsnorm rows=16 hidden=1024,2048,3072,4096,5120,6144,7168,8192 --dtype f16,bf16,f32 \
    --compile-only --arch sm_90a --cache "$scratch/c.db" --json >"$scratch/out" 2>"$scratch/err" &
tool=$!
for _ in $(seq 300); do
    grep -q candidate "$scratch/out" && break
    sleep 0.1
done
kill -INT "$tool"
rc=0
wait "$tool" || rc=$?
check 'exit' exits 1
check 'says that it stops' err_has stopping
check 'the summary ends it' last_has '"event":"summary"'
check 'JSON' all_json
run tfops-cache verify "$scratch/c.db" --json
check 'the cache is whole' exits 0
check 'something was kept' above "$(number binaries)" 0
finish
