#!/usr/bin/env bash
# tfops-bench --peer cublaslt with the fake driver and a fake library: how the peer is asked for each
# kind of scales, that every kernel it offers is tried, and what is said where there is none.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
need_nvrtc
for name in fake_cuda fake_cublaslt; do
    [ -e "$bin/fakes/lib$name.so" ] || skip "lib$name.so is not built"
done
export TFOPS_LIBCUDA=$bin/fakes/libfake_cuda.so FAKE_CUDA_L2=262144
export TFOPS_LIBCUBLASLT=$bin/fakes/libfake_cublaslt.so FAKE_CUBLASLT_OUT=$scratch/calls
unset TFOPS_REQUIRE_GPU

bench() {
    rm -f "$scratch/calls"
    run tfops-bench "$@" --peer cublaslt --budget 0.05 --json
    check "$*: measured" exits 0
    check "$*: JSON" all_json
}
called() { grep -q -- "$1" "$scratch/calls"; }
says() { out_has "$1" || err_has "$1"; }

bench linear m=16 n=32 k=64
check "linear: a time beside ours" out_has '"peer_ns":[0-9]'
check "linear: both kernels tried" out_has '"peer_kernels":2'
check "linear: the first" called 'kernel 1 m=16 n=32 k=64 modes 0 0'
check "linear: the second" called 'kernel 2 '
check "linear: the mean of all" last_has '"event":"summary","peer":"cublaslt","problems":1'
bench fp8_gemm m=16 n=32 k=64 fast_accum=yes
check "one scale a tensor" called 'modes 0 0 fast 1'
bench fp8_gemm m=16 n=32 k=64 scaling=row
check "one scale a row" called 'modes 3 3 fast 0'
bench fp8_gemm m=16 n=32 k=256 scaling=block
check "one scale a block, a group" called 'modes 5 4 fast 0'

FAKE_CUBLASLT_KERNELS=0 run tfops-bench linear m=16 n=32 k=64 --peer cublaslt --json
check "no kernel: the rule is named" says 'cublasLtMatmulAlgoGetHeuristic'
TFOPS_LIBCUBLASLT=$scratch/none.so run tfops-bench linear m=16 n=32 k=64 --peer cublaslt --json
check "no library: its name is told" says 'none.so'
run tfops-bench linear m=16 n=32 k=64 --budget 0.05
check 'without a peer: exit' exits 0
check 'without a peer: no ratio' eval '! out_has " 0\.000 "'
for mode in --warm --launch; do
    run tfops-bench linear m=0 n=32 k=64 $mode
    check "$mode of no rows: exit" exits 1
    check "$mode of no rows: says so" err_has 'bench: m: .*expected 1 or more, got 0'
done
finish
