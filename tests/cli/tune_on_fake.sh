#!/usr/bin/env bash
# tune_gpu.sh with the fake driver: the tools' way through tuning and benchmarks on every host. Its
# kernels are C, and its times mean nothing.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
fake=$bin/fakes/libfake_cuda.so
[ -e "$fake" ] || skip "libfake_cuda.so is not built"
export TFOPS_LIBCUDA=$fake FAKE_CUDA_DEVICES=2 FAKE_CUDA_L2=262144 ROWS=64 NEAR=60 HIDDEN=512
unset TFOPS_REQUIRE_GPU
bash "$here/tune_gpu.sh"
