#!/bin/sh
# Holds templates and their device wrappers to the rules that let the CPU execute them; prints each
# violation as file:line: text. (Who may contain PTX at all: tools/check-deps.sh.)
#
#   tools/check-templates.sh [ROOT]        checks the tree (default: the one this script stands in)
#   tools/check-templates.sh --self-test   seeds violations in a temporary tree and wants each found
#
# kernels/device/*.cuh: a function with PTX or an intrinsic has a second body under TF_HOST, or none
# for the host on purpose (#ifndef TF_HOST around all of it); PTX is never compiled for the host, the
# emulator (emu::) never for the device. Every other *.cu and *.cuh under kernels/ and docs/examples/:
# no intrinsic, no thread or block variable, no pointer as 32 bits, no built-in vector type, no clock,
# printf, assert or allocation, no volatile loop, no entry of its own.
set -eu
export LC_ALL=C
# shellcheck source=tools/seeded.sh
. "$(dirname "$0")/seeded.sh"

check() {
    cd "$1"
    find kernels docs/examples -type f \( -name '*.cu' -o -name '*.cuh' \) 2>/dev/null | sort | awk '
function violation(line, text) { printf "%s:%d: %s\n", file, line, text; bad++ }
function word(text, words) { return match(text, "(^|[^A-Za-z0-9_])(" words ")([^A-Za-z0-9_]|$)") }
# The word that the last match found, without its neighbours.
function matched(text,   found) {
    found = substr(text, RSTART, RLENGTH)
    gsub(/^[^A-Za-z0-9_]|[^A-Za-z0-9_]$/, "", found)
    return found
}

# The line without comments and strings; block comments may span lines.
function code(text,   out, i, j) {
    gsub(/"([^"\\]|\\.)*"/, "\"\"", text)
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

# ---- device wrappers: what the host sees and what the device sees -------------------------------

# A branch of #if: for the host, for the device, for both; "rest" is for the host and some devices.
function branch(text) {
    if (text ~ /ifdef[ \t]+TF_HOST/) return "host"
    if (text ~ /ifndef[ \t]+TF_HOST/) return "device"
    if (text ~ /!defined\(TF_HOST\)/) return "device"
    if (text ~ /defined\(TF_HOST\) *\|\|/) return "rest"
    if (text ~ /defined\(TF_HOST\)/) return "host"
    return "both"
}
function directive(text,   top) {
    if (text ~ /^[ \t]*#[ \t]*if/) {
        seen[++depth] = branch(text)
        plain[depth] = text ~ /ifn?def/
    } else if (text ~ /^[ \t]*#[ \t]*(else|elif)/) {
        top = seen[depth]
        if (top == "device") seen[depth] = plain[depth] ? "host" : "rest"
        else if (top == "rest" || (top == "host" && plain[depth])) seen[depth] = "device"
        else seen[depth] = "both"
    } else if (text ~ /^[ \t]*#[ \t]*endif/)
        depth--
}
function side(   i) {
    for (i = depth; i > 0; i--)
        if (seen[i] != "both") return seen[i]
    return "both"
}

function has_ptx(text) {
    return word(text, ptx_words) || (ptx_macros != "" && word(text, ptx_macros))
}

function function_begins(text) {
    in_function = 1; starts = line; ptx = host = device = 0
    around = side()
    indent = text; sub(/[^ ].*/, "", indent)
    returns_void = text ~ /(^|[^A-Za-z0-9_])void /
}
function function_ends() {
    in_function = 0
    # One that only the host sees stands beside a macro; one that only devices see has no second body.
    if (around == "device" || (ptx && !host && !(device_only && returns_void)))
        violation(starts, "a body for the device and none for the host (TF_HOST)")
    if (around != "host" && host && !device && !both_code)
        violation(starts, "a body for the host and none for the device")
}

function device_line(text,   at) {
    if (text ~ /^[ \t]*#[ \t]*define/ || in_define) {
        if (!in_define) { macro = text; sub(/^[ \t]*#[ \t]*define[ \t]+/, "", macro); sub(/[^A-Za-z0-9_].*/, "", macro) }
        if (has_ptx(text)) ptx_macros = ptx_macros (ptx_macros == "" ? "" : "|") macro
        in_define = text ~ /\\[ \t]*$/
        return
    }
    if (text ~ /^[ \t]*#/) { directive(text); return }
    if (!in_function && text ~ /(^|[^A-Za-z0-9_])(TF_DEV|TF_METHOD)([^A-Za-z0-9_]|$)/ && text !~ /;[ \t]*$/) {
        function_begins(text)
        device_only = 1; both_code = 0
    }
    at = side()
    if (has_ptx(text)) {
        if (at == "host") violation(line, "PTX or an intrinsic in the body for the host")
        else if (at != "device" && in_function) ptx_both = line
        ptx += in_function
    }
    if (text ~ /emu::/ && at != "host") violation(line, "the emulator (emu::) in a body for the device")
    if (!in_function) return
    if (text ~ "^" indent "}") { function_ends(); if (ptx_both) violation(ptx_both, "PTX or an intrinsic that the host compiles too"); ptx_both = 0; return }
    if (text ~ /^[ \t]*[{}]?[ \t]*$/ || line == starts || !inside(text) || text ~ /static_assert|TF_UNROLL/) return
    if (at == "both") both_code++
    host += at == "host" || at == "rest"
    device += at == "device" || at == "rest"
    if (at != "device") device_only = 0
}
# Statements only: not the rest of a signature.
function inside(text) { return text ~ /[;{(]/ && text !~ /^[A-Za-z].*\)$/ }

# ---- templates ------------------------------------------------------------------------------------

function template_line(text) {
    if (word(text, "threadIdx|blockIdx|blockDim|gridDim|warpSize|__shared__|__global__|__constant__|__launch_bounds__"))
        violation(line, matched(text) " outside kernels/device/")
    else if (word(text, "asm|__[a-z][a-z0-9_]*|atomic[A-Z][A-Za-z]*") && matched(text) !~ allowed)
        violation(line, matched(text) ": intrinsics stand in kernels/device/, with a body for the host")
    if (word(text, "printf|malloc|free|new|delete|assert|clock|clock64|trap"))
        violation(line, matched(text) " in a template")
    if (match(text, /(reinterpret_cast<(u32|int|unsigned)>|\((u32|int|unsigned)\) *\((u64|size_t)\) *[a-z_]+\.?[a-z_]*ptr|\(u32\) *&)/))
        violation(line, "a pointer as 32 bits: addresses of shared memory come from wrappers")
    if (word(text, "(u?int|float|double|u?longlong|half|uchar|ushort)[1234]"))
        violation(line, matched(text) ": vector accesses go through kernels/device/mem.cuh")
    if (text ~ /while *\(.*volatile/)
        violation(line, "a loop that waits for memory: only inside a wrapper")
}

function check_file(   raw, text) {
    line = depth = in_comment = in_function = in_define = ptx_both = 0
    ptx_macros = ""
    while ((getline raw < file) > 0) {
        line++
        text = code(raw)
        if (file ~ /^kernels\/device\//) device_line(text)
        else template_line(text)
    }
    close(file)
    if (depth) violation(line, "an #if without its #endif")
}

BEGIN {
    ptx_words = "asm|threadIdx|blockIdx|blockDim|gridDim|tf_shared_base|atomic(Add|Min|Max|CAS|Exch|Or|And)" \
        "|__(shfl|sync|activemask|ballot|any|all|ldg|cvta|float_as|uint_as|int_as|double_as|nanosleep|dp4a)[a-z0-9_]*" \
        "|fabsf|fmaxf|fminf|fmaf|rsqrtf|expf|exp2f|logf|erff|tanhf"
    allowed = "^(__device__|__forceinline__|__restrict__|__CUDACC_RTC__|__noinline__|__grid_constant__|__align__)$"
}
{ file = $0; count++; check_file() }
END {
    if (bad) { printf "check-templates: %d violations in %d files\n", bad, count; exit 1 }
    printf "check-templates: %d files, no violation\n", count
}'
}

# Each seeded line must be reported, and nothing else.
self_test() {
    seeded_tree
    put kernels/device/right.cuh '#define LOAD(x) asm(x)\n\nTF_DEV int both()\n{\n#ifdef TF_HOST\n    return emu::me->thread;\n#else\n    return threadIdx.x; // asm\n#endif\n}\n\nTF_DEV void hint()\n{\n#ifndef TF_HOST\n    LOAD("prefetch");\n#endif\n}\n\nTF_DEV u32 soft(u32 w)\n{\n#if TF_ARCH >= 890 && !defined(TF_HOST)\n    asm("cvt" : "=r"(w));\n    return w;\n#else\n    return soft_decode(w);\n#endif\n}\n\nTF_DEV u32 hard(u32 w)\n{\n#if defined(TF_HOST) || TF_ARCH < 890\n    return soft_decode(w);\n#else\n    asm("cvt" : "=r"(w));\n    return w;\n#endif\n}\n'
    put kernels/device/no_host.cuh 'TF_DEV u32 lane()\n{\n    u32 r;\n    asm("mov" : "=r"(r));\n    return r;\n}\n'
    put kernels/device/no_device.cuh 'TF_DEV void f()\n{\n#ifdef TF_HOST\n    emu::f();\n#endif\n}\n'
    put kernels/device/mixed.cuh 'TF_DEV void f()\n{\n#ifdef TF_HOST\n    __syncwarp();\n#else\n    emu::f();\n#endif\n}\n'
    put kernels/device/silent.cuh 'TF_DEV int f()\n{\n#ifndef TF_HOST\n    return threadIdx.x;\n#endif\n}\n'
    put kernels/device/file.cuh '#ifndef TF_HOST\nTF_DEV void f()\n{\n    asm("x");\n}\n#endif\n'
    put kernels/norm/n.cu 'int i = threadIdx.x;\nfloat f = __ldg(p); // asm\nu32 a = reinterpret_cast<u32>(p);\nfloat4 v;\nprintf("x");\nwhile (*(volatile int *)p) ;\n__device__ int fine(int);\natomicAdd(p, 1);\n'
    expected='kernels/device/file.cuh:2 kernels/device/mixed.cuh:4 kernels/device/mixed.cuh:6 kernels/device/no_device.cuh:1
        kernels/device/no_host.cuh:1 kernels/device/no_host.cuh:4 kernels/device/silent.cuh:1
        kernels/norm/n.cu:1 kernels/norm/n.cu:2 kernels/norm/n.cu:3 kernels/norm/n.cu:4
        kernels/norm/n.cu:5 kernels/norm/n.cu:6 kernels/norm/n.cu:8'
    expect_found "$expected"
}

case ${1:-} in
--self-test) self_test ;;
-*)
    echo 'usage: tools/check-templates.sh [ROOT | --self-test]' >&2
    exit 2
    ;;
*) check "${1:-$(dirname "$0")/..}" ;;
esac
