/*
 * emu_launch.h: one launch on the emulated machine, as the driver (C) asks the runtime (C++) for it.
 *
 * A shared object of variants exports emu_launch() and one entry per variant; whoever loads it
 * brings the operands. Nothing here knows of specs.
 */
#ifndef TFOPS_TUNER_EMU_LAUNCH_H
#define TFOPS_TUNER_EMU_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Which thread runs next, when the running one waits. */
enum emu_order {
    EMU_FORWARD,      /* the next one by index */
    EMU_REVERSE,      /* the one before */
    EMU_WARP_DEPTH,   /* of the same warp as long as one can, then the first that can */
    EMU_WARP_REVERSE, /* the same, then the last that can */
    EMU_RANDOM,       /* any, by the seed */
    EMU_ORDERS
};

/* Global memory the kernel may touch. Whatever else lies inside the arena is out of bounds. */
struct emu_region {
    const char *name; /* of the operand */
    uintptr_t base;
    size_t bytes;
    bool writable;
    /* For messages: elements of elem_bytes, rows of `stride` elements. */
    size_t elem_bytes;
    int64_t stride;
};

struct emu_launch_args {
    const char *kernel;                /* for reports */
    void (*entry)(const void *params); /* of the variant */
    const void *params;
    uint32_t grid[3], threads, cluster, smem_bytes;
    uint32_t smem_limit; /* of the architecture */
    uintptr_t arena;
    size_t arena_bytes;
    const struct emu_region *regions;
    size_t n_regions;
    enum emu_order order;
    uint64_t seed;
    bool late_copies; /* asynchronous copies land as late as they may; else at once */
    /* Bounds that no right kernel of a test comes near. */
    uint64_t max_switches; /* 0: 2^31 */
    uint32_t cpu_seconds;  /* 0: 60 */
};

/* What stands in a parameter pack in place of a CUtensorMap's 128 bytes. */
enum { EMU_TENSOR_MAP_MAGIC = 0x70614d54 };
struct emu_tensor_map {
    uint64_t base;
    uint64_t dims[5];    /* elements, innermost first */
    uint64_t strides[4]; /* bytes, of dims 1 … */
    uint32_t magic;
    uint16_t box[5];
    uint8_t rank, elem_bytes, swizzle, fill_nan; /* swizzle: CUtensorMapSwizzle */
};

enum { EMU_TEXT_BYTES = 4096 };

struct emu_report {
    uint32_t findings; /* 0: nothing wrong */
    uint64_t switches;
    char text[EMU_TEXT_BYTES]; /* a line each, terminated */
};

typedef void emu_launch_fn(const struct emu_launch_args *launch, struct emu_report *ret_report);
emu_launch_fn emu_launch; /* the symbol */

#ifdef __cplusplus
}
#endif
#endif
