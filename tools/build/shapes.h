/*
 * Extents for operators whose static dimensions depend on each other or stand beside the matrix that is
 * walked over, by the dimensions' names: what checks that walk over every operator (check_arch, the
 * emulator's plans) take instead of one width for all. A row is a problem that makes sense: heads, their length, a row of their tables.
 */
#ifndef TFOPS_BUILD_SHAPES_H
#define TFOPS_BUILD_SHAPES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { SHAPES = 6 };

/* The extent of dimension `name` in shape i; `width` where the name has none of its own. */
static inline int64_t shape_extent(const char *name, size_t i, int64_t width)
{
    static const struct {
        const char *name;
        int64_t extents[SHAPES];
    } NAMED[] = {
        {"num_heads", {32, 3, 64, 512, 2, 5}},
        {"q_heads", {32, 7, 64, 8, 2, 5}},
        {"kv_heads", {8, 1, 8, 8, 2, 2}},
        {"head_dim", {128, 80, 64, 128, 6, 96}},
        {"table_dim", {128, 32, 16, 64, 2, 96}},
        {"n2", {512, 72, 128, 1, 264, 33}},
        {"n3", {512, 8, 72, 96, 1, 130}},
    };
    for (size_t n = 0; n < sizeof NAMED / sizeof NAMED[0]; n++)
        if (!strcmp(NAMED[n].name, name))
            return NAMED[n].extents[i % SHAPES];
    return width;
}

#endif
