#!/usr/bin/env bash
# tfops-cache on what is no good cache: a status and one line, exit 1, never a crash or a change.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

# refused WHAT FILE
refused() {
    local verb sum
    sum=$( (cksum <"$2") 2>/dev/null)
    for verb in list show stats verify prune; do
        run tfops-cache "$verb" "$2"
        check "$verb of $1: exit $rc" exits 1
        check "$verb of $1: one line" equals "$(wc -l <"$scratch/err")" 1
        check "$verb of $1: names the file" err_has "$(basename "$2")"
    done
    run tfops-cache verify "$2" --json
    check "verify of $1: summary" last_has '"event":"summary","records":0,"binaries":0,"bad":1}'
    check "verify of $1: JSON" all_json
    check "$1 is as it was" equals "$( (cksum <"$2") 2>/dev/null)" "$sum"
}

refused 'a missing file' "$scratch/missing.db"
check 'nothing was created' test ! -e "$scratch/missing.db"
echo 'not a cache' >"$scratch/text.db"
refused 'a text file' "$scratch/text.db"
head -c 100 /dev/urandom >"$scratch/noise.db"
refused 'noise' "$scratch/noise.db"
printf 'SQLite format 3\0' >"$scratch/cut.db"
refused 'a truncated database' "$scratch/cut.db"
mkdir "$scratch/directory.db"
run tfops-cache list "$scratch/directory.db"
check 'a directory' exits 1
run tfops-cache list
check "the user's cache that is not there: exit" exits 1
check "the user's cache that is not there: name" err_has user.db
run tfops-cache show 12 "$scratch/text.db"
check 'show of an ID in no cache' exits 1
finish
