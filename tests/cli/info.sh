#!/usr/bin/env bash
# tfops-info: one object with --json, whatever the host has.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

run tfops-info --json
check 'exit' exits 0
check 'one line' out_lines 1
check 'one object' all_json
check 'nothing on stderr' err_empty
for key in version driver nvrtc nvml device devices cache archs operators; do
    check "has $key" out_has "\"$key\":"
done
check 'rmsnorm with its dimensions' \
    out_has '"name":"rmsnorm".*"dimensions":\["rows","hidden"\],'
check 'add_rmsnorm' out_has '"name":"add_rmsnorm"'
check 'tunables with values' out_has '"tunables":{"[A-Z_]*":\[[0-9]'
check 'support by architecture' out_has '"support":{"sm_80":.*"sm_90a":true.*"sm_120a":'
check 'the cache is not there yet' out_has '"exists":false'

run tfops-info rmsnorm --json
check 'one operator: there' out_has '"name":"rmsnorm"'
check 'one operator: no other' eval '! out_has add_rmsnorm'

run tfops-info --tunables
check 'text: exit' exits 0
check 'text: support table' out_has '^rmsnorm .*yes'

echo 'not a cache' >"$scratch/bad.db"
run tfops-info --cache "$scratch/bad.db" --json
check 'a bad cache is no failure' exits 0
check 'a bad cache is told' out_has '"usable":false'

without_gpu
run tfops-info --json
check 'without libcuda: exit' exits 0
check 'without libcuda: no devices' out_has '"devices":\[\]'
check 'without libcuda: the cpu device' out_has '"device":{"name":"[^"]*","arch":"cpu"'

"$bin/tfops-info" >/dev/full 2>"$scratch/err"
rc=$?
check 'a full disk: exit' exits 1
check 'a full disk: message' err_has 'cannot write to stdout'
finish
