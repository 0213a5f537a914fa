#!/usr/bin/env bash
# The GPU tests of engine and tuner with the fake driver: what of them needs no GPU is tested on every
# host. Its kernels are C, so a small L2 keeps what timing cycles through small.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
[ -x "$bin/tests/gpu-tests" ] || skip "tests/gpu-tests is not built"
need_nvrtc
fake=$bin/fakes/libfake_cuda.so
[ -e "$fake" ] || skip "libfake_cuda.so is not built"
export TFOPS_LIBCUDA=$fake FAKE_CUDA_DEVICES=2 FAKE_CUDA_L2=262144 FAKE_CUDA_REPLAY=always
unset TFOPS_REQUIRE_GPU

suite() {
    rc=0
    "$bin/tests/gpu-tests" -j1 --timeout 120 --filter "$1/*" >"$scratch/out" 2>"$scratch/err" </dev/null || rc=$?
    check "$1: all pass" exits 0
    check "$1: something ran" grep -q 'Tested: [1-9]' "$scratch/err"
}
suite engine_gpu
suite num_gpu
suite weight_gpu
unset FAKE_CUDA_REPLAY # replays are there for their time
suite tuner_gpu
finish
