#!/usr/bin/env bash
# A config that is faster only where its buffers happen to lie is no winner. On the fake driver, whose
# times can depend on that.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
need_nvrtc
fake=$bin/fakes/libfake_cuda.so
[ -e "$fake" ] || skip "libfake_cuda.so is not built"
export TFOPS_LIBCUDA=$fake FAKE_CUDA_L2=262144 FAKE_CUDA_HOST=7

# tune NAME SEED
tune() {
    run tfops-tune rmsnorm rows=192 hidden=4096 --strategy random --max-configs 6 --seed "$2" \
        --cache "$scratch/$1.db" --json --force
}
default_wins() { last_problem | grep -q '"winner_is_default":true'; }
last_problem() { grep '"event":"problem"' "$scratch/out"; }

# The fake's times come from the images: with some seeds the default is the fastest.
for seed in 1 2 3 4; do
    tune anywhere "$seed"
    default_wins || break
done
check 'anywhere: exit' exits 0
check 'anywhere: another config than the default wins' out_has '"winner_is_default":false'
export FAKE_CUDA_PLACES=1
tune here "$seed"
check 'here: exit' exits 0
check 'here: the default stays' default_wins
check 'here: and is as fast as itself' out_has '"event":"problem".*"speedup":1,'
finish
