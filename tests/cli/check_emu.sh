#!/usr/bin/env bash
# tfops-tune --check emu: a right variant, one with a missing barrier, one that is wrong, no compiler.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
without_gpu
source=${TFOPS_SOURCE:-$here/../..}
[ -d "$source/kernels" ] || skip "no kernels in this bundle"
command -v "${CXX:-g++}" >/dev/null || skip "no C++ compiler"

emulate() { run tfops-tune rmsnorm rows=3 hidden=4096 --dtype bf16 --check emu "$@"; }

emulate
check 'right: exit' exits 0
check 'right: says so' out_has 'right: 5 runs on the CPU'
# The emulator itself is compiled once, and no file that others could have written is loaded.
kept() { ls "$(dirname "${TFOPS_CACHE:-$XDG_CACHE_HOME/tfops/cache.db}")"/emulator-check-*.o; }
check 'the emulator is kept' equals "$(kept | wc -l)" 1
first=$(stat -c %i "$(kept)")
emulate
check 'the kept one serves again' equals "$(stat -c %i "$(kept)")" "$first"
chmod 666 "$(kept)"
emulate
check 'one that others may write: exit' exits 0
check 'one that others may write: made anew' equals "$(find "$(kept)" -perm /022)" ''
# Where it cannot be kept the check is what it was: a folder stands in its place.
place=$(kept)
rm "$place"
mkdir -p "$place/full"
emulate
check 'nothing can be kept: exit' exits 0
check 'nothing can be kept: right' out_has 'right: 5 runs on the CPU'
rm -r "$place"
emulate --json --config STORE_HINT=1
check 'JSON: exit' exits 0
check 'JSON' all_json
check 'JSON: the config' out_has '"event":"check".*STORE_HINT=1.*"right":true'
check 'JSON: the summary ends it' last_has '^{"event":"summary","problems":1,"configs":1,"compiled":1,"cached":0,"verified":1,"rejected":0,'

# 33792 threads at a time: more stacks than Linux has regions for, were each guarded.
run tfops-tune quantize rows=256 hidden=1024 granularity=per_tensor_dynamic scales=1 --arch sm_90a --check emu --config THREADS_PER_ROW=256
check 'blocks that wait for each other: exit' exits 0
check 'blocks that wait for each other: right' out_has 'right: 4 runs'

# broken FILE EXPRESSION: the kernels with one line changed.
broken() {
    rm -rf "$scratch/kernels"
    cp -r "$source/kernels" "$scratch/kernels"
    sed -i "$2" "$scratch/kernels/$1"
    ! cmp -s "$source/kernels/$1" "$scratch/kernels/$1" || fail "nothing changed in $1"
    TFOPS_KERNEL_DIR=$scratch/kernels emulate
}
broken device/reduce.cuh 's|^\( *\)block_sync();|\1|'
check 'a missing barrier: exit' exits 1
check 'a missing barrier: the race' out_has 'block 0 thread .* at row/row.cuh:[0-9]* .*race on shared memory'
broken norm/rmsnorm_op.cuh 's|return n \* weight;|return n * weight * 2.0f;|'
check 'a wrong factor: exit' exits 1
check 'a wrong factor: the element' out_has 'out\[0, 0\] is .*, expected .* elements of out beyond the bound); worst: out\[[0-9]*, [0-9]*\] is .*, expected '
check 'a wrong factor: whole lines' equals "$(tail -c 1 "$scratch/out")" ''
check 'a wrong factor: with which operands' out_has '^  WRONG: plain values, threads in order:'
broken norm/rmsnorm_op.cuh 's|return n \* weight;|return n * weight * 1.01f;|'
check 'a norm: exit' exits 1
check 'a norm: its worst element' out_has 'out differs by .* of its norm, more than .*; worst: out\[[0-9]*, [0-9]*\] is .*, expected '
# A tool that itself is built with UBSan has loaded its library before there is a variant to listen to it.
if ! ldd "$TFOPS_BUILD/tfops-worker" | grep -q libubsan; then
    broken norm/rmsnorm_op.cuh 's|return n \* weight;|return n * weight * *(const float *)(u64)(n != n);|'
    check 'a null pointer: exit' exits 1
    check 'a null pointer: block, thread and line' out_has \
        'rmsnorm: block 0 thread [0-9]* at norm/rmsnorm_op.cuh:[0-9]*.*: undefined behaviour: Load of null pointer'
    check 'a null pointer: nothing else is said' equals "$(grep -c 'runtime error' "$scratch/err")" 0
    broken norm/rmsnorm_op.cuh 's|return n \* weight;|return n * weight * *(const float *)((const char *)\&n + 1 + (int)(n != n));|'
    check 'misaligned: block, thread and line' out_has \
        'rmsnorm: block 0 thread [0-9]* at norm/rmsnorm_op.cuh:[0-9]*.*: .*misaligned'
fi
broken norm/rmsnorm_op.cuh 's|return n \* weight;|return n * weights;|'
check 'what does not compile: exit' exits 1
check 'what does not compile: the line' err_has 'rmsnorm_op.cuh:[0-9]*:.*error'

# A compiler that does not come to its end.
mkdir "$scratch/tmp"
cat >"$scratch/slow" <<'END'
#!/bin/sh
echo $$ >"$SLOW_PID.new" && mv "$SLOW_PID.new" "$SLOW_PID"
sleep 60 &
wait
END
chmod +x "$scratch/slow"
export SLOW_PID=$scratch/slow.pid
CXX=$scratch/slow TMPDIR=$scratch/tmp "$bin/tfops-tune" rmsnorm rows=3 hidden=4096 --check emu \
    >"$scratch/out" 2>"$scratch/err" &
tool=$!
for _ in $(seq 300); do
    [ -e "$SLOW_PID" ] && break
    sleep 0.1
done
kill -INT "$tool"
rc=0
wait "$tool" || rc=$?
check 'stopped: exit' exits 1
check 'stopped: says so' err_has '^stopping (once more'
check 'stopped: no folder is left' equals "$(ls "$scratch/tmp")" ''
no_compiler() { ! kill -0 "$(cat "$SLOW_PID")" 2>/dev/null; }
check 'stopped: the compiler is ended' no_compiler

CXX=$scratch/no-compiler emulate
check 'no compiler: exit' exits 1
check 'no compiler: named' err_has 'needs a C++ compiler, and there is no .*no-compiler'
emulate --check gpu
check 'another check: exit' exits 2
emulate --compile-only
check 'beside --compile-only: exit' exits 2
finish
