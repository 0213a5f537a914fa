#!/usr/bin/env bash
# The demo without a GPU: says so, compiles, starts again without a compile, executes on the cpu.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
need_nvrtc
without_gpu

run tfops-demo --cache "$scratch/demo.db" --budget 5 --progress none
check 'exit' exits 0
check 'says which of the two it did' out_has '^No GPU here'
check 'prints the sweep' out_has '^config  *regs  *spill  *smem  *blocks/SM'
check 'warm without a compile' out_has '^  warm .* 0 compiles'
check 'verified' out_has 'relative error .*: right'
if command -v "${CXX:-g++}" >/dev/null; then
    check 'the template ran on the CPU' out_has 'CUDA template, executed on the CPU: .*: right'
fi
check 'ends plainly' out_has '^Done without a GPU'
run tfops-cache verify "$scratch/demo.db"
check 'its cache is whole' exits 0
finish
