/*
 * Rows of RMSNorm on the host, in bfloat16, and how far results are from the formula: written once
 * more here, for the library must not judge itself.
 */
#ifndef TOOLS_DEMO_ROWS_H
#define TOOLS_DEMO_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#define DEMO_EPS 1e-5

struct demo_rows {
    int64_t rows, hidden;
    uint16_t *x, *w, *y; /* [rows, hidden], [hidden], [rows, hidden] */
};

/* x and w filled, the same in every run. False: no memory; free it all the same. */
bool demo_rows_make(struct demo_rows *data, int64_t rows, int64_t hidden);
void demo_rows_free(struct demo_rows *data);

/* The relative error of y against the formula in fp64. False: no memory. */
bool demo_rows_error(const struct demo_rows *data, double *ret_error);

#endif
