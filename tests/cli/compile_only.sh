#!/usr/bin/env bash
# tfops-tune --compile-only: binaries for an architecture without a GPU, then a second run from the
# cache, then what tfops-cache says about them.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
need_nvrtc
without_gpu

compile() {
    run tfops-tune rmsnorm rows=16 hidden=4096 --compile-only --arch sm_90a --strategy random \
        --max-configs 4 --seed 1 --cache "$scratch/c.db" --json "$@"
}
compile
check 'exit' exits 0
check 'JSON' all_json
check 'nothing on stderr but progress' eval '! err_has error'
check 'candidates' out_has '"event":"candidate"'
check 'the default is among them' out_has '"default":true'
check 'registers are known' above "$(number registers)" 0
check 'a problem' out_has '"event":"problem","op":"rmsnorm"'
check 'the summary ends it' last_has '^{"event":"summary","problems":1,"configs":[0-9]*,"compiled":[0-9]*,"cached":[0-9]*,"verified":[0-9]*,"rejected":[0-9]*,"failed":[0-9]*,"seconds":[0-9.e-]*}$'
check 'something was compiled' above "$(number compiled)" 0
check 'nothing failed' equals "$(number failed)" 0
good_compiled='"verdict":"compiled".*"cached":false'
check 'what was good was compiled' out_has "$good_compiled"

compile --force
check 'again: exit' exits 0
# What is disqualified but for spills is not kept, so it is compiled again to be rejected again.
# shellcheck disable=SC2016
check 'again: what was good is not compiled' eval '! out_has "$good_compiled"'
check 'again: all from the cache' above "$(number cached)" 0

run tfops-tune rmsnorm rows=16 hidden=4096 --compile-only --arch sm_90a --cache "$scratch/c.db" \
    --strategy random --max-configs 4 --seed 1 --force
check 'text: exit' exits 0
check 'text: head of the table' out_has '^config  *regs  *spill  *smem  *blocks/SM  time'
check 'text: the default is marked' out_has '(default)'

run tfops-tune --suite launch --dry-run --arch sm_90a --top 1
check 'suite: exit' exits 0
check 'suite: all its problems' out_has '15 of 15 problems'
run tfops-tune --suite launch --dry-run --arch sm_90a --top 1 --shard 2/4
check 'suite: a shard of it' out_has '4 of 4 problems'
run tfops-tune rmsnorm rows=16 hidden=4096 --dry-run --arch sm_90a --cache "$scratch/d.db"
check 'dry run: exit' exits 0
check 'dry run: says so' out_has 'nothing was compiled'

run tfops-cache verify "$scratch/c.db" --json
check 'verify: exit' exits 0
check 'verify: binaries' above "$(number binaries)" 0
check 'verify: summary' last_has '"event":"summary","records":0,"binaries":[0-9]*,"bad":0}$'
run tfops-cache list --binaries "$scratch/c.db" --json
check 'list: exit' exits 0
check 'list: architecture' out_has '"arch":"sm_90a"'
check 'list: digests hold' eval '! out_has "\"ok\":false"'
run tfops-cache stats "$scratch/c.db"
check 'stats: exit' exits 0
run tfops-cache explain rmsnorm rows=16 hidden=4096 --arch sm_90a "$scratch/c.db" --json
check 'explain: exit' exits 0
check 'explain: a plan with its source' out_has '"event":"plan".*"source":"default"'
# A host without NVRTC finds the default config of every extent, not only of the one asked for.
export TFOPS_LIBNVRTC=/nonexistent
for rows in 1 300 16384; do
    run tfops-cache explain rmsnorm "rows=$rows" hidden=4096 --arch sm_90a "$scratch/c.db" --json
    check "explain without NVRTC, $rows rows: the default" out_has '"event":"plan".*"source":"default"'
done
unset TFOPS_LIBNVRTC
run tfops-cache prune "$scratch/c.db" --dry-run --json
check 'prune --dry-run: exit' exits 0
check 'prune --dry-run: says how many' above "$(number binaries)" 0
run tfops-cache prune "$scratch/c.db" --json
check 'prune: exit' exits 0
run tfops-cache verify "$scratch/c.db" --json
check 'pruned: no binary is left' equals "$(number binaries)" 0

dump() {
    run tfops-tune rmsnorm rows=16 hidden=4096 --compile-only --arch sm_90a --config STORE_HINT=1 \
        --cache "$scratch/dump.db" --json --dump "$1"
}
dump "$scratch/new"
check 'dump: exit' exits 0
check 'dump: nothing on stderr' err_empty
for suffix in cu ptx cubin log; do
    check "dump: a .$suffix" eval "ls '$scratch'/new/rmsnorm-sm_90a-*.$suffix >/dev/null"
done
dump "$scratch/new"
check 'dump: a folder that is there' exits 0
dump "$scratch/missing/new"
check 'dump without a place: exit' exits 1
check 'dump without a place: says so' err_has '--dump: no folder .*missing/new can be had: No such file'
dump "$scratch/dump.db"
check 'dump into a file: exit' exits 1
check 'dump into a file: JSON' last_has '"event":"error","status":"TFOPS_E_IO".*"subject":"[^"]*dump.db"'
dump /proc/self
check 'dump where nothing can be written: exit' exits 1
check 'dump where nothing can be written: says so' err_has 'dump: /proc/self/rmsnorm.*cannot be written'

run tfops-tune rmsnorm rows=1 hidden=64 --compile-only --arch sm_90a --config STAGES=1 --json \
    --cache "$scratch/count.db"
compiled=$(number compiled)
run tfops-cache verify "$scratch/count.db" --json
check 'what is compiled is what is stored' equals "$compiled" "$(number binaries)"
run tfops-tune rmsnorm rows=1 hidden=64 --dry-run --arch sm_90a --strategy random --max-configs 3
check 'dry run: what would be tried' out_has '^3 configs to try; nothing was compiled'
run tfops-tune rmsnorm rows=1 hidden=64 --dry-run --arch sm_90a --shard 2/2 --json
check 'an empty shard: exit' exits 0
check 'an empty shard: said' err_has 'no problem is in shard 2 of 2'
check 'an empty shard: summary' last_has '"event":"summary","problems":0'
TFOPS_LIBNVRTC=/nonexistent.so run tfops-tune rmsnorm rows=1 hidden=64 --compile-only --arch sm_90a \
    --cache "$scratch/none.db"
check 'no NVRTC: exit' exits 1
check 'no NVRTC: which' err_has 'cannot be compiled: nvrtc: /nonexistent.so: cannot be opened: '
finish
