#!/usr/bin/env bash
# tfops-tune where its cache cannot be written: exit 1 before anything is compiled, nothing left behind.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
need_nvrtc
without_gpu

compile() {
    run tfops-tune rmsnorm hidden=64 rows=1 --compile-only --arch sm_90a --config STAGES=1 --json \
        --cache "$1"
}

# refused WHAT FILE
refused() {
    compile "$2"
    check "$1: exit" exits 1
    check "$1: JSON" all_json
    check "$1: an error object" last_has '"event":"error","status":"TFOPS_E_'
    check "$1: nothing was compiled" eval '! out_has "\"event\":\"candidate\""'
}

refused 'no file' ''
check 'no file: says so' err_has '--cache: expected a file to write, got none'
mkdir "$scratch/dir.db"
refused 'a directory' "$scratch/dir.db"
check 'a directory: says so' err_has 'dir.db: .*expected a regular file, got a directory'
ln -s "$scratch/other.db" "$scratch/link.db"
refused 'a link' "$scratch/link.db"
mkfifo "$scratch/fifo.db"
refused 'a fifo' "$scratch/fifo.db"
refused 'no place for a file' /proc/tfops.db
mkdir -m 777 "$scratch/open"
refused 'a folder of everybody' "$scratch/open/c.db"
compile "$scratch/newer.db"
check 'a good file: exit' exits 0
if command -v python3 >/dev/null; then
    python3 -c 'import sqlite3, sys
sqlite3.connect(sys.argv[1]).execute("PRAGMA user_version=99")' "$scratch/newer.db"
    refused 'a newer schema' "$scratch/newer.db"
fi

# What writes nothing needs no cache.
run tfops-tune rmsnorm hidden=64 rows=1 --dry-run --arch sm_90a --cache "$scratch/dir.db"
check 'a dry run: exit' exits 0

fake=$bin/fakes/libfake_cuda.so
if [ -e "$fake" ]; then
    export TFOPS_LIBCUDA=$fake FAKE_CUDA_L2=262144
    run tfops-tune rmsnorm hidden=64 rows=16 --strategy random --max-configs 2 --cache "$scratch/dir.db"
    check 'a GPU: exit' exits 1
    check 'a GPU: nothing was measured' eval '! out_has winner'
    run tfops-tune rmsnorm hidden=64 rows=16 --config STAGES=1 --cache "$scratch/dir.db"
    check 'one config is only looked at: exit' exits 0
fi
for name in dir link fifo; do
    check "$name: no lock is left" test ! -e "$scratch/$name.db.lock"
done
finish
