#!/usr/bin/env bash
# Bad command lines: one line that names the word and what was expected, exit 2, an object too with
# --json.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
without_gpu

golden usage-option tfops-tune rmsnorm --chache x
golden usage-option-json tfops-tune --json rmsnorm --chache x
golden usage-value-missing tfops-tune --cache
golden usage-value-malformed tfops-tune rmsnorm --jobs many
golden usage-jobs tfops-tune rmsnorm rows=1 hidden=8 --jobs 65
golden usage-choice tfops-tune rmsnorm --strategy genetic
golden usage-flag-value tfops-tune --force=1
golden usage-shard tfops-tune rmsnorm --shard 3/2
golden usage-arch-alone tfops-tune rmsnorm rows=1 hidden=8 --arch sm_90a
golden usage-no-operator tfops-tune
golden usage-tune-suite tfops-tune --suite rwo
golden usage-suite-and-operator tfops-tune --suite row rmsnorm rows=1 hidden=8
golden usage-device tfops-tune rmsnorm rows=1 hidden=8 --device gpu0
golden usage-command tfops-cache lst
golden usage-no-command tfops-cache
golden usage-age tfops-cache prune --older-than 90x
golden usage-suite tfops-bench --suite opn
golden usage-bench-nothing tfops-bench
golden usage-peer tfops-bench linear m=1 n=8 k=8 --peer foo
golden usage-max-configs tfops-tune rmsnorm rows=1 hidden=8 --max-configs 3
golden usage-worker tfops-worker --json

# What the operators are must not matter here: names, not lists.
run tfops-tune nrmsnorm rows=1 hidden=8
check 'unknown operator: exit' exits 2
check 'unknown operator: suggestion' err_has "unknown operator 'nrmsnorm'; did you mean 'rmsnorm'?"
run tfops-tune rmsnorm rows=1 hiden=8 --json
check 'unknown dimension: exit' exits 2
check 'unknown dimension: object' out_has '"status":"TFOPS_E_UNKNOWN".*"subject":"hiden"'
check 'unknown dimension: JSON' all_json
run tfops-tune rmsnorm rows=1
check 'missing dimension: exit' exits 2
check 'missing dimension: name' err_has 'rmsnorm needs hidden=VALUE'
run tfops-tune rmsnorm rows=1 hidden=0
check 'zero hidden: exit' exits 2
check 'zero hidden: name' err_has hidden
run tfops-tune rmsnorm rows=-1 hidden=8
check 'negative rows: exit' exits 2
run tfops-tune rmsnorm rows=99999999999999999999 hidden=8
check 'overflowing rows: exit' exits 2
run tfops-tune rmsnorm rows=1 hidden=8 --dtype f17
check 'unknown dtype: exit' exits 2
check 'unknown dtype: name' err_has f17
run tfops-tune rmsnorm rows=1 hidden=8 --compile-only --arch sm_91
check 'unknown architecture: exit' exits 2
check 'unknown architecture: suggestion' err_has "unknown architecture 'sm_91'; did you mean"
run tfops-info nope
check 'info of an unknown operator' exits 2
run tfops-info --plugin "$scratch/none.so"
check 'a plug-in that is not there: exit' exits 1
check 'a plug-in that is not there: name' err_has none.so
run tfops-tune nope
check 'unknown operator: a whole list' err_has "unknown operator 'nope'.* (there is: rmsnorm, .*, rmsnorm_rope)$"
run tfops-tune rmsnorm rows=1 hidden=8 --compile-only --arch sm_90a --config =1
check 'a value of no tunable: exit' exits 2
check 'a value of no tunable: says so' err_has '=1: .*expected TUNABLE=VALUE, got =1'
finish
