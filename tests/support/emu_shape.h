/*
 * Extents of the problems that are executed without a GPU: static ones that plans walk through, and
 * how many rows a trial has. From the spec's tables alone.
 */
#ifndef TFOPS_TESTS_EMU_SHAPE_H
#define TFOPS_TESTS_EMU_SHAPE_H

#include <tfops/spec.h>

enum { EMU_SHAPES = 10, EMU_EXTENTS = 3 };

/* Fills in the dimensions that a given operand has, except derived ones: static extents by `shape`
 * (below EMU_SHAPES), the dynamic one, for which configs are chosen, by `extent` (below EMU_EXTENTS).
 */
void emu_shape_set(struct tfops_problem *problem, size_t shape, size_t extent);

/* How much a trial wants to see: one row, a few, more than a tile is high. */
enum emu_rows { EMU_ONE_ROW, EMU_THREE_ROWS, EMU_FIVE_ROWS, EMU_MANY_ROWS };

/* That many rows; of a matrix fewer where that were more products than `most_products`. */
int64_t emu_shape_rows(
    const struct tfops_problem *problem, enum emu_rows wish, int64_t most_products);

#endif
