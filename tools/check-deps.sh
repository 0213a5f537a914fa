#!/bin/sh
# Holds the tree to the rules of who may include whom; prints each violation as file:line: text.
#
#   tools/check-deps.sh [ROOT]        checks the tree (default: the one this script stands in)
#   tools/check-deps.sh --self-test   seeds violations in a temporary tree and wants each one found
#
#   folder         may include
#   include/       nothing but its own headers
#   engine/base/   include
#   kernels/       include, base                 cache/    include, base
#   engine/        those, kernels, cache         tuner/    those, engine
#   tools/         include and base/json.h       docs/     include
#   tools/build/, tests/                         anything
#
# SQLite only in cache/, cJSON only in engine/base/json.c, libsodium only in engine/base/hash.c,
# CUDA headers only in engine/ and tuner/, none of them in kernels/. PTX (asm) only in
# kernels/device/; warp and block primitives and __shared__ in no other kernel file. No two sources
# of the same file name.
set -eu
export LC_ALL=C
# shellcheck source=tools/seeded.sh
. "$(dirname "$0")/seeded.sh"

check() {
    cd "$1"
    find . \( -name .git -o -path ./build -o -name '*.new' \) -prune -o -type f \
        \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' -o -name '*.cpp' -o -name '*.sql' \) -print |
        sed 's|^\./||' | sort | awk '
function area(path) {
    if (path ~ /^engine\/base\//) return "base"
    if (path ~ /^tools\/build\//) return "maker"
    if (path !~ /\//) return "root"
    return substr(path, 1, index(path, "/") - 1)
}
function violation(text) { printf "%s:%d: %s\n", file, line, text; bad++ }

# Where a quoted or <tfops/…> name leads: the includer, then the include path of the Makefile.
function resolve(name,   i, n, dirs, path) {
    n = split(dir " include engine . kernels tests/emu", dirs, " ")
    for (i = 1; i <= n; i++) {
        path = dirs[i] "/" name
        while (path ~ /(^|\/)[^\/.][^\/]*\/\.\.\//) sub(/[^\/.][^\/]*\/\.\.\//, "", path)
        gsub(/\/\.\//, "/", path)
        sub(/^(\.\/)+/, "", path)
        if (path in known) return path
    }
    return ""
}

function library(name) {
    if (name ~ /^sqlite3(ext)?\.h$/) return "SQLite"
    if (name ~ /(^|\/)cJSON(_Utils)?\.h$/) return "cJSON"
    if (name ~ /^sodium(\.h|\/)/) return "libsodium"
    if (name ~ /^(cuda|cu[A-Z]|cublas|cudnn|nvrtc|nvml|nvJitLink|nvPTX|mma\.h|cooperative_groups|cuda_)/) return "CUDA"
    return ""
}
function library_home(lib, in_area) {
    if (in_area == "tests" || in_area == "maker") return 1
    if (lib == "SQLite") return in_area == "cache"
    if (lib == "cJSON") return file == "engine/base/json.c"
    if (lib == "libsodium") return file == "engine/base/hash.c"
    return in_area == "engine" || in_area == "tuner"
}

function include_line(name, quoted,   from, target, to, lib) {
    from = area(file)
    lib = library(name)
    if (lib != "") {
        if (!library_home(lib, from)) violation(lib " header \"" name "\" does not belong in " from)
        return
    }
    if (!quoted && name !~ /^tfops\//) {
        if (file ~ /\.cuh?$/ && file !~ /^kernels\/device\// && from == "kernels")
            violation("a template includes <" name ">: NVRTC has no system headers")
        return
    }
    target = resolve(name)
    if (target == "") {
        if (name !~ /^build\/gen\// && from != "tests") violation("\"" name "\" is nowhere in the tree")
        return
    }
    to = area(target)
    if (from == "maker" || from == "tests" || from == to) return
    if (from == "tools" && target == "engine/base/json.h") return
    # The template of a plug-in is rendered beside the built-in device helpers.
    if (from == "docs" && file ~ /\.cu$/ && target ~ /^kernels\/device\//) return
    if (!((from, to) in may)) violation(from " must not include " target)
}

# The line without comments; block comments may span lines.
function code(text,   out, i, j) {
    out = ""
    while (text != "") {
        if (in_comment) {
            i = index(text, "*/")
            if (!i) return out
            text = substr(text, i + 2); in_comment = 0
            continue
        }
        i = index(text, "/*"); j = index(text, "//")
        if (j && (!i || j < i)) return out substr(text, 1, j - 1)
        if (!i) return out text
        out = out substr(text, 1, i - 1) " "
        text = substr(text, i + 2); in_comment = 1
    }
    return out
}

function kernel_line(text) {
    if (file ~ /^kernels\/device\//) return
    if (text ~ /(^|[^A-Za-z0-9_])(asm|__asm__|__asm)([^A-Za-z0-9_]|$)/) violation("asm outside kernels/device/")
    if (file ~ /\.cuh?$/ && match(text, /__shfl[a-z_]*|__syncthreads[a-z_]*|threadIdx|__shared__/))
        violation(substr(text, RSTART, RLENGTH) " outside kernels/device/")
}

function check_file(   raw, text, name) {
    line = 0; in_comment = 0
    dir = file; if (!sub(/\/[^\/]*$/, "", dir)) dir = "."
    while ((getline raw < file) > 0) {
        line++
        if (!in_comment && match(raw, /^[ \t]*#[ \t]*include[ \t]*[<"][^>"]+[>"]/)) {
            name = substr(raw, RSTART, RLENGTH)
            text = name ~ /"/ ? 1 : 0
            sub(/^[^<"]*[<"]/, "", name); sub(/[>"]$/, "", name)
            include_line(name, text)
        }
        text = code(raw)
        if (file ~ /^kernels\//) kernel_line(text)
    }
    close(file)
}

function allow(from, list,   i, n, parts) {
    n = split(list, parts, " ")
    for (i = 1; i <= n; i++) may[from, parts[i]] = 1
}

BEGIN {
    allow("base", "include")
    allow("kernels", "include base")
    allow("cache", "include base")
    allow("engine", "include base kernels cache")
    allow("tuner", "include base kernels cache engine")
    allow("tools", "include")
    allow("docs", "include")
}
{ files[++count] = $0; known[$0] = 1 }
END {
    for (i = 1; i <= count; i++) {
        file = files[i]
        base = file; sub(/.*\//, "", base)
        line = 1
        if (base in first) violation("a second " base ": the first is " first[base])
        else first[base] = file
        check_file()
    }
    if (bad) { printf "check-deps: %d violations in %d files\n", bad, count; exit 1 }
    printf "check-deps: %d files, no violation\n", count
}'
}

# Each seeded line must be reported, and nothing else.
self_test() {
    seeded_tree
    put include/tfops/a.h '#include <stdint.h>\n'
    put include/tfops/b.h '#include <tfops/a.h>\n#include "base/floor.h"\n'
    put engine/base/floor.h '#include <tfops/a.h>\n'
    put engine/base/floor.c '#include "base/floor.h"\n#include "core.h"\n'
    put engine/base/json.c '#include <cjson/cJSON.h>\n#include "base/json.h"\n'
    put engine/base/json.h '\n'
    put engine/base/hash.c '#include <sodium.h>\n'
    put engine/core.h '#include "cache/store.h"\n#include <cuda.h>\n#include "kernels/list.h"\n'
    put engine/core.c '#include "core.h"\n#include "tuner/job.h"\n#include <sqlite3.h>\n'
    put cache/store.h '#include "base/floor.h"\n#include <sqlite3.h>\n'
    put cache/store.c '#include "store.h"\n#include "../engine/core.h"\n#include <sodium.h>\n'
    put cache/sign.c '#include <sodium.h>\n#include <cjson/cJSON.h>\n'
    put kernels/list.h '#include "base/floor.h"\n#include <nvrtc.h>\n'
    put kernels/device/lane.cuh '// asm\n__device__ void f() { asm("bar.sync 0;"); __syncthreads(); }\n'
    put kernels/norm/n.cu '#include "../device/lane.cuh"\n// asm in a comment /*\n/* asm\n asm */ int a; asm("x");\nint i = threadIdx.x;\n#include <cuda_fp16.h>\n'
    put tuner/job.h '#include "core.h"\n#include <cuda.h>\n#include "tools/cli.h"\n'
    put tools/cli.h '#include <tfops/a.h>\n#include "base/json.h"\n#include "base/floor.h"\n'
    put tools/build/make.c '#include "core.h"\n#include "tools/cli.h"\n#include <cuda.h>\n'
    put tests/unit/t.c '#include "core.h"\n#include <sqlite3.h>\n#include "missing.h"\n'
    put tests/store.h '\n'
    put docs/examples/e.c '#include <tfops/b.h>\n#include "core.h"\n'
    put tools/lost.c '#include "nothing.h"\n'
    expected='cache/sign.c:1 cache/sign.c:2 cache/store.c:2 cache/store.c:3 docs/examples/e.c:2 engine/base/floor.c:2
        engine/core.c:2 engine/core.c:3 include/tfops/b.h:2 kernels/list.h:2 kernels/norm/n.cu:4
        kernels/norm/n.cu:5 kernels/norm/n.cu:6 tests/store.h:1 tools/cli.h:3 tools/lost.c:1
        tuner/job.h:3'
    expect_found "$expected"
}

case ${1:-} in
--self-test) self_test ;;
-*)
    echo 'usage: tools/check-deps.sh [ROOT | --self-test]' >&2
    exit 2
    ;;
*) check "${1:-$(dirname "$0")/..}" ;;
esac
