#!/usr/bin/env bash
# A host without libcuda: what needs a GPU says so, names the way out, exits 1; the rest works.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
without_gpu

golden no-gpu-tune tfops-tune rmsnorm rows=16 hidden=4096
golden no-gpu-tune-json tfops-tune rmsnorm rows=16 hidden=4096 --json
golden no-gpu-tune-cpu tfops-tune rmsnorm rows=16 hidden=4096 --device cpu
golden no-gpu-tune-all tfops-tune rmsnorm rows=16 hidden=4096 --device all
golden no-gpu-arch-missing tfops-tune rmsnorm rows=16 hidden=4096 --compile-only
golden no-gpu-bench tfops-bench rmsnorm rows=16 hidden=4096
golden no-gpu-bench-suite tfops-bench --suite rmsnorm --json

run tfops-tune rmsnorm rows=16 hiden=4096
check 'a bad word is told before the missing GPU' exits 2
run tfops-info
check 'info works' exits 0
run tfops-bench --suite open
check 'open needs a GPU' exits 1
finish
