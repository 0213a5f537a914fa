#!/usr/bin/env bash
# The whole way on a GPU: tune, list, explain, tune again, bench. tune_on_fake.sh runs it with the fake
# driver and smaller shapes.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
need_gpu
need_nvrtc
shape="rows=${ROWS:-2048} hidden=${HIDDEN:-4096}"
near="rows=${NEAR:-2000} hidden=${HIDDEN:-4096}"
# shellcheck disable=SC2086
tool() { run "$1" rmsnorm $shape "${@:2}"; }
# 1, 2, 3 …, of equal times (the fake driver's often are) their mean: in order, with the same sum.
ranks_in_order() {
    tail -n 1 "$scratch/out" | grep -o '"measured_rank":[0-9.]*' | cut -d: -f2 |
        awk '{ bad = bad || $1 < last; last = $1; sum += $1 }
            END { exit bad || NR == 0 || sum != NR * (NR + 1) / 2 }'
}

tool tfops-tune --strategy random --max-configs 6 --seed 1 \
    --cache "$scratch/c.db" --json
check 'tune: exit' exits 0
check 'tune: JSON' all_json
check 'tune: a winner is recorded' out_has '"event":"problem".*"recorded":true'
check 'tune: every measured config was verified' above "$(number verified)" 0
check 'tune: the summary ends it' last_has '"event":"summary","problems":1'
run tfops-cache list "$scratch/c.db" --json
check 'list: one record' out_lines 1
run tfops-cache list "$scratch/c.db"
check 'list: a table' out_has 'rmsnorm'
run tfops-cache list --binaries "$scratch/c.db"
check 'list --binaries: the winner is pinned' out_has ' pinned '
run tfops-cache stats "$scratch/c.db"
check 'stats: one record' out_has '^  1 records'
run tfops-cache verify "$scratch/c.db" --json
check 'verify' exits 0
run tfops-cache show "$scratch/c.db"
check 'show: runner-up and default' out_has '^runner-up'
check 'show: a clock, or that it is unknown' out_has '^clock  *\([1-9][0-9]* MHz\|unknown\)$'
# shellcheck disable=SC2086
run tfops-cache explain rmsnorm $shape "$scratch/c.db" --json
check 'explain: by the record' out_has '"source":"record"'
check 'explain: what was measured, without a model' last_has \
    '"event":"ranking".*"model":false,"correlation":null,"configs":\[{.*"measured_rank":[1-9][0-9.]*,"predicted_ns":null'
check 'explain: the fastest first' ranks_in_order
cp "$scratch/c.db" "$scratch/copy.db"
# shellcheck disable=SC2086
run tfops-cache explain rmsnorm $shape "$scratch/c.db" "$scratch/copy.db"
check 'explain: whose records' out_has "^ *1  rmsnorm .*  $scratch/c.db *\$"
check 'explain: the other file too' out_has "^ *1  rmsnorm .*  $scratch/copy.db *\$"
# shellcheck disable=SC2086
run tfops-cache explain rmsnorm $shape "$scratch/c.db" "$scratch/copy.db" --json
check 'explain: whose records, JSON' out_has "\"event\":\"record\".*\"path\":\"$scratch/copy.db\""
# shellcheck disable=SC2086
run tfops-cache explain rmsnorm $near "$scratch/c.db" --json
check 'explain: by the nearest record' out_has '"source":"nearest"'
tool tfops-tune --cache "$scratch/c.db" --json
check 'again: nothing is compiled' equals "$(number compiled)" 0
run tfops-tune linear m=16 n=64 k=64 dtype=bf16 --strategy random --max-configs 4 --seed 1 \
    --cache "$scratch/linear.db" --json
check 'linear: exit' exits 0
run tfops-cache explain linear m=20 n=64 k=64 dtype=bf16 "$scratch/linear.db" --json
# A fake GPU may take the same time for all of them: then there are no ranks to compare.
different=$(tail -n 1 "$scratch/out" | grep -o '"measured_ns":[0-9.]*' | sort -u | wc -l)
check 'explain: the model beside what was measured' last_has \
    "\"event\":\"ranking\".*\"extent\":16.*\"model\":true,\"correlation\":$([ "$different" -gt 1 ] && echo '-*[0-9]' || echo null).*\"predicted_ns\":[0-9]"
run tfops-cache explain linear m=20 n=64 k=64 dtype=bf16 "$scratch/linear.db"
check 'explain: both ranks' out_has '^rank  measured µs  model.s rank  predicted µs  config'
# shellcheck disable=SC2086
run tfops-tune quantize $shape granularity=per_token scales=1 saturated=1 --strategy random \
    --max-configs 3 --seed 1 --cache "$scratch/counter.db" --json
check 'a counter as output: exit' exits 0
check 'a counter as output: verified' above "$(number verified)" 0
tool tfops-tune --cache "$scratch/one.db" --config STORE_HINT=1 --json
check 'one config: exit' exits 0
tool tfops-bench --cache "$scratch/c.db" --budget 1 --json
check 'bench: exit' exits 0
check 'bench: by the record' out_has '"event":"bench".*"source":"record"'
check 'bench: provenance' out_has '"device":"[^"]*".*"driver":[0-9]*.*"date":"20'
tool tfops-bench --cache "$scratch/c.db" --budget 1
check 'bench: a table' out_has '^problem .* of roof'
tool tfops-bench --launch --cache "$scratch/c.db" --json
check 'bench --launch: exit' exits 0
check 'bench --launch: over the raw call' out_has '"event":"launch".*"lookup_over_raw_ns":'
run tfops-bench --suite open --samples 3 --cache "$scratch/c.db" --json
check 'bench open: exit' exits 0
check 'bench open: no compile' out_has '"compiles":0'
run tfops-tune rmsnorm rows=1 hidden=8 --device 99 --json
check 'a GPU that is not there' exits 1
finish
