# shellcheck shell=sh
# What the self-tests of the tree's checkers share; sourced by a script that has a function `check
# ROOT` printing file:line: text. A temporary tree is seeded with violations, and exactly those lines
# must be reported.

seeded_tree() {
    tree=$(mktemp -d)
    trap 'rm -rf "$tree"' EXIT
}

# put FILE TEXT: TEXT with backslash escapes as a file of the tree.
put() {
    mkdir -p "$tree/$(dirname "$1")"
    printf '%b' "$2" >"$tree/$1"
}

# expect_found "FILE:LINE …": what `check` reports of the tree, in any order.
expect_found() {
    name=$(basename "$0" .sh)
    # shellcheck disable=SC2086
    expected=$(printf '%s\n' $1 | sort | tr '\n' ' ')
    found=$( (check "$tree" || :) | sed -n 's/^\([^ :]*:[0-9]*\): .*/\1/p' | sort | tr '\n' ' ')
    if [ "$found" != "$expected" ]; then
        printf '%s self-test: expected\n  %s\nfound\n  %s\n' "$name" "$expected" "$found"
        exit 1
    fi
    echo "$name self-test: all seeded violations found"
}
