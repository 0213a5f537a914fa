#!/bin/sh
# Format and static analysis of C files; CLANG_FLAGS are the compiler's. Fails on any finding.
#   CLANG_FLAGS='-Iinclude …' tools/lint.sh FILE…
set -eu
failed=0
ran=0
jobs=${JOBS:-$(nproc)}
have() { command -v "$1" >/dev/null 2>&1; }
sources=$(printf '%s\n' "$@" | grep '\.c$' || :)

if have clang-format; then
    ran=1
    clang-format --dry-run -Werror "$@" || failed=1
fi
if have clang-tidy; then
    ran=1
    # shellcheck disable=SC2086,SC2016
    printf '%s\n' $sources | xargs -r -P "$jobs" -n 4 sh -c '
        clang-tidy --quiet --warnings-as-errors="*" "$@" -- $CLANG_FLAGS 2>&1 | grep -v "warnings generated\|warning generated\|Suppressed\|Use -header-filter" ;
        # grep is right when a line is left: then clang-tidy said something
        [ $? -ne 0 ]' sh || failed=1
fi
if have cppcheck; then
    ran=1
    # Uninitialised variables are the compilers' and clang-tidy's business: cppcheck takes tables and
    # output parameters for them. A plug-in includes its .cu, which cppcheck takes for C.
    # shellcheck disable=SC2086,SC2046
    cppcheck --quiet --std=c11 --language=c -j "$jobs" --enable=warning,portability --inline-suppr \
        --suppress=missingInclude --suppress=unknownMacro --suppress=uninitvar \
        --suppress=ctuuninitvar --suppress=identicalInnerCondition --error-exitcode=1 \
        -Iinclude -Iengine -I. $(printf '%s\n' $sources | grep -v '^tests/\|_plugin\.c$') || failed=1
fi
if have shellcheck; then
    ran=1
    shellcheck -S warning tools/*.sh tests/*.sh .ci/run || failed=1
fi
if [ "$ran" = 0 ]; then
    echo 'lint: none of clang-format, clang-tidy, cppcheck, shellcheck is here: apt-get install clang-format clang-tidy cppcheck shellcheck' >&2
    exit 1
fi
[ "$failed" = 0 ] && echo 'lint: clean'
