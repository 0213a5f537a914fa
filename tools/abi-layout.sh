#!/bin/sh
# Writes tests/abi/layout.c on stdout: the size of every public struct and the offset of every field
# as the compiler lays them out now. Public structs only grow at their end: a difference to the
# committed file anywhere else is a break of the ABI.
set -eu
export LC_ALL=C
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# "struct field" for each field, "struct -" for each struct, in the order of the headers.
fields() {
    for header in include/tfops/*.h; do
        "${CC:-gcc}" -fpreprocessed -dD -E -P "$header" 2>/dev/null | awk '
        /^struct tfops_[a-z0-9_]+ \{/ { name = $2; body = ""; open = 1; print name, "-"; next }
        open && /^\};/ {
            open = 0
            n = split(body, parts, ";")
            for (i = 1; i <= n; i++) fields_of(parts[i])
        }
        open { body = body " " $0 }
        function fields_of(text,   m, names, j, field) {
            gsub(/_Alignas\([0-9]+\)/, "", text)
            if (match(text, /\(\*[a-z0-9_]+\)/)) { # a function pointer
                print name, substr(text, RSTART + 2, RLENGTH - 3)
                return
            }
            m = split(text, names, ",")
            for (j = 1; j <= m; j++) {
                field = names[j]
                gsub(/\[[^]]*\]/, "", field)
                sub(/[ \t]+$/, "", field)
                if (match(field, /[A-Za-z0-9_]+$/)) print name, substr(field, RSTART)
            }
        }'
    done
}

fields >"$work/fields"
{
    echo '#include <stdio.h>'
    echo '#include <tfops/tfops.h>'
    echo 'int main(void) {'
    awk '$2 == "-" { printf "printf(\"\\nSIZE(%s, %%zu);\\n\", sizeof(struct %s));\n", $1, $1; next }
        { printf "printf(\"OFFSET(%s, %s, %%zu);\\n\", offsetof(struct %s, %s));\n", $1, $2, $1, $2 }' "$work/fields"
    echo 'return 0; }'
} >"$work/print.c"
"${CC:-gcc}" -std=c11 -Iinclude "$work/print.c" -o "$work/print"
cat <<'END'
/*
 * The layout of every public struct on LP64, asserted at compile time. Written by `make abi-layout`:
 * after a change of a header run that and read the difference. Structs that callers make may only
 * grow at their end; anything else breaks programs that are compiled already.
 */
#include <stddef.h>
#include <stdint.h>
#include <tfops/tfops.h>

#define SIZE(type, bytes) _Static_assert(sizeof(struct type) == (bytes), "size of " #type)
#define OFFSET(type, field, bytes)                                                                 \
    _Static_assert(offsetof(struct type, field) == (bytes), "offset of " #type "." #field)

#if UINTPTR_MAX == UINT64_MAX
END
"$work/print"
printf '\n#endif\n'
