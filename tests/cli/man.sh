#!/usr/bin/env bash
# The manual keeps up: every option of a tool is in its page, every public function in section 3,
# declarations are those of the headers, examples are commands that the tools take, every reference
# leads somewhere once, groff has nothing to complain about.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
source=${TFOPS_SOURCE:-$here/../..}
pages=$source/tools/man
[ -d "$pages" ] || skip "no manual pages in this bundle"

for tool in tfops-info tfops-tune tfops-cache tfops-bench; do
    run "$tool" --help
    for option in $(grep -o '^  --[a-z-]*' "$scratch/out"); do
        check "$tool.1 has $option" grep -q -- "^\.It Fl -${option#--}" "$pages/$tool.1"
    done
    for option in $(sed -n 's/^\.It Fl -\([a-z-]*\).*/--\1/p' "$pages/$tool.1"); do
        check "$tool has $option" out_has "^  $option"
    done
done

for name in $(sed -n 's/^[a-z][^#*]*\b\(tfops_[a-z_]*\)(.*/\1/p' "$source"/include/tfops/*.h |
    grep -v _fn$ | sort -u); do
    check "$name is in section 3" grep -q "^\.Nm $name\b" "$pages"/*.3
done

# Declarations without comments, directives and space, each on a line: of C on stdin.
declarations() {
    sed '/^#/d' | tr '\n' ' ' | sed 's:/\*\([^*]\|\*[^/]\)*\*/::g' | tr -d '[:space:]' |
        sed 's/,}/}/g; s/};/}/g; s/extern"C"{//g; s/\(\(struct\|enum\)tfops_[a-z0-9_]*{[^}]*}\)/\n\1\n/g' |
        sed '/{/!s/;/\n/g' | sed 's/^}*//'
}
# literal PAGE: the C in its displays; commands of the shell are indented ones.
literal() {
    awk '$0 == ".Bd -literal" { on = 1; next } /^\.Ed/ { on = 0 } on' "$1" | sed 's/\\&//g'
}
cat "$source"/include/tfops/*.h | declarations >"$scratch/headers"
for page in "$pages"/*.3; do literal "$page" | declarations; done | sort -u >"$scratch/manual"
: >"$scratch/out"
declared=0
while IFS= read -r declaration; do
    [ -n "$declaration" ] || continue
    declared=$((declared + 1))
    check "as the headers have it: ${declaration:0:100}…" grep -qxF -- "$declaration" "$scratch/headers"
done <"$scratch/manual"
check 'there are declarations in section 3' above "$declared" 100
while IFS= read -r declaration; do
    check "the manual has it as it is: ${declaration%%\{*}" grep -qxF -- "$declaration" "$scratch/manual"
done < <(grep '{' "$scratch/headers")

# Examples, without a GPU: of what tunes and deletes a dry run, a benchmark gets as far as the GPU.
examples() {
    awk '/^\.Sh EXAMPLES/ { in_examples = 1 } in_examples && /^\.Bd/ { on = 1; next }
        /^\.Ed/ { on = 0 } on' "$1" | sed -e ':join' -e '/\\e$/{N;s/ *\\e\n */ /;b join' -e '}' \
        -e 's/ *>[^ ]*$//' -e 's/ && /\n/g'
}
example() {
    local line=$1 expected=0
    case $line in
    tfops-tune\ *--arch*) line="$line --dry-run" ;;
    tfops-tune\ *) line="$line --dry-run --arch sm_90a" ;;
    tfops-cache\ prune\ *) line="$line --dry-run" ;;
    tfops-cache\ explain\ *) line="$line --device cpu" ;; # the others need NVRTC
    tfops-bench\ *) expected=1 ;;
    esac
    # shellcheck disable=SC2086
    (cd "$scratch" && run $line && exit "$rc")
    rc=$?
    check "the example: $line" exits "$expected"
}
bin=$(cd "$bin" && pwd)
without_gpu
run tfops-tune rmsnorm rows=1 hidden=1024 --dry-run --arch sm_90a # makes the cache
cp "$TFOPS_CACHE" "$scratch/h200.db"
n_examples=0
while IFS= read -r line; do
    n_examples=$((n_examples + 1))
    example "$line"
done < <(for page in "$pages"/*.1; do examples "$page"; done)
check 'there are examples' above "$n_examples" 9

for page in "$pages"/*.[137]; do
    sed -n '/^\.Sh SEE ALSO/,$s/^\.Xr //p' "$page" | tr -d , | sort | uniq -d >"$scratch/out"
    check "no reference twice in ${page##*/}" equals "$(cat "$scratch/out")" ''
done

for reference in $(sed -n 's/^\.\(Pq \)*Xr \(tfops[^ ]*\) \([137]\).*/\2.\3/p' "$pages"/*.[137] | sort -u); do
    check "the reference to $reference" test -e "$pages/$reference"
done

if command -v groff >/dev/null; then
    for page in "$pages"/*.[137]; do
        groff -ww -mdoc -Tascii "$page" >"$scratch/out" 2>"$scratch/err"
        check "groff on ${page##*/}" err_empty
    done
fi
finish
