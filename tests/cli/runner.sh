#!/usr/bin/env bash
# tests/run-tests.sh itself: what a test program did is counted, however it ended.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

runner=$here/../run-tests.sh
mkdir -p "$scratch/build/tests"

# counts WHAT "N passed, N failed, N skipped" BODY: of a test program with this body; $report is its report.
counts() {
    local what=$1 expected=$2 status=0
    # shellcheck disable=SC2016
    printf '%s\n' '#!/bin/bash' 'report=${1#--tap=}' "$3" >"$scratch/build/tests/unit-tests"
    chmod +x "$scratch/build/tests/unit-tests"
    TFOPS_BUILD=$scratch/build TFOPS_UNIT_SECONDS=2 TFOPS_TEST_WRAPPER='' \
        bash "$runner" unit >"$scratch/out" 2>"$scratch/err" </dev/null || status=1
    check "$what" test "$(tail -n 1 "$scratch/out")" = "$expected"
    case $expected in
    *' 0 failed,'*) check "$what: status" test "$status" = 0 ;;
    *) check "$what: status" test "$status" = 1 ;;
    esac
    check "$what: a number each" test "$(grep -c 'syntax error' "$scratch/err")" = 0
}

counts 'all passed' '2 passed, 0 failed, 0 skipped' "printf 'ok - a\nok - b\n' >\$report"
counts 'one skipped' '1 passed, 0 failed, 1 skipped' "printf 'ok - a\nok - b # SKIP why\n' >\$report"
counts 'one failed' '1 passed, 1 failed, 0 skipped' "printf 'ok - a\nnot ok - b\n' >\$report; exit 1"
counts 'all passed, but for the end' '1 passed, 1 failed, 0 skipped' "printf 'ok - a\n' >\$report; exit 3"
counts 'killed before its report' '0 passed, 1 failed, 0 skipped' 'kill -9 $$'
counts 'stopped by its time limit' '0 passed, 1 failed, 0 skipped' 'exec sleep 60'

rm "$scratch/build/tests/unit-tests"
TFOPS_BUILD=$scratch/build bash "$runner" unit >"$scratch/out" 2>&1 </dev/null
check 'a program that is not built' test "$(tail -n 1 "$scratch/out")" = '0 passed, 1 failed, 0 skipped'

TFOPS_TEST_WRAPPER=valgrnd bash "$runner" unit >"$scratch/out" 2>&1 </dev/null
check 'an unknown wrapper: status' test $? = 2
check 'an unknown wrapper is named' grep -q "expected valgrind or compute-sanitizer, got 'valgrnd'" "$scratch/out"
finish
