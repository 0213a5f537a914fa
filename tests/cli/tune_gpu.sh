#!/usr/bin/env bash
# The whole way on a GPU: tune, list, explain, tune again, bench.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
need_gpu
need_nvrtc

run tfops-tune rmsnorm rows=2048 hidden=4096 --strategy random --max-configs 6 --seed 1 \
    --cache "$scratch/c.db" --json
check 'tune: exit' exits 0
check 'tune: JSON' all_json
check 'tune: a winner is recorded' out_has '"event":"problem".*"recorded":true'
check 'tune: every measured config was verified' above "$(number verified)" 0
check 'tune: the summary ends it' last_has '"event":"summary","problems":1'
run tfops-cache list "$scratch/c.db" --json
check 'list: one record' out_lines 1
run tfops-cache verify "$scratch/c.db" --json
check 'verify' exits 0
run tfops-cache show "$scratch/c.db"
check 'show: runner-up and default' out_has '^runner-up'
run tfops-cache explain rmsnorm rows=2048 hidden=4096 "$scratch/c.db" --json
check 'explain: by the record' out_has '"source":"record"'
run tfops-cache explain rmsnorm rows=2000 hidden=4096 "$scratch/c.db" --json
check 'explain: by the nearest record' out_has '"source":"nearest"'
run tfops-tune rmsnorm rows=2048 hidden=4096 --cache "$scratch/c.db" --json
check 'again: nothing is compiled' equals "$(number compiled)" 0
run tfops-tune rmsnorm rows=2048 hidden=4096 --cache "$scratch/one.db" --config THREADS=256 --json
check 'one config: exit' exits 0
run tfops-bench rmsnorm rows=2048 hidden=4096 --cache "$scratch/c.db" --budget 1 --json
check 'bench: exit' exits 0
check 'bench: by the record' out_has '"event":"bench".*"source":"record"'
check 'bench: provenance' out_has '"device":"[^"]*".*"driver":[0-9]*.*"date":"20'
run tfops-bench --launch rmsnorm rows=16 hidden=4096 --cache "$scratch/c.db" --json
check 'bench --launch: exit' exits 0
run tfops-bench --suite open --samples 3 --cache "$scratch/c.db" --json
check 'bench open: exit' exits 0
check 'bench open: no compile' out_has '"compiles":0'
run tfops-tune rmsnorm rows=1 hidden=8 --device 99 --json
check 'a GPU that is not there' exits 1
finish
