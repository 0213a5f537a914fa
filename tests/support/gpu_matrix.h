/*
 * Matrix operators on a GPU against the cpu device: operands by index, the same call on both, the
 * distance of the results.
 */
#ifndef TESTS_SUPPORT_GPU_MATRIX_H
#define TESTS_SUPPORT_GPU_MATRIX_H

#include "tests/support/test_support.h"

struct gpu_matrix {
    struct support_engine gpu;
    struct tfops_engine *cpu;
};

void gpu_matrix_open(struct gpu_matrix *both);
void gpu_matrix_close(struct gpu_matrix *both);

/* Operands on the GPU. What is an alias or a part of another one, or absent, has no bytes of its own. */
struct gpu_matrix_run {
    struct support_tensor tensors[TFOPS_MAX_OPERANDS];
    struct tfops_args args;
};

/* Random, `pad` elements behind each row; rows 0: a vector. */
void gpu_matrix_give(struct gpu_matrix_run *run, struct tfops_engine *engine, int operand,
    enum tfops_dtype dtype, int64_t rows, int64_t cols, int64_t pad);
void gpu_matrix_free(struct gpu_matrix_run *run);

/* Launches `op` on both, prepared or cold; ‖out − want‖ / ‖want‖ is at most `most`. Frees the run. */
void gpu_matrix_check(struct gpu_matrix *both, const char *op, struct gpu_matrix_run *run, int out,
    double most, bool prepared);

/* Launches `op` again and again, the output poisoned differently before: the same bits. Frees the run. */
void gpu_matrix_check_bits(
    struct gpu_matrix *both, const char *op, struct gpu_matrix_run *run, int out);

/* Each element is of the kind that the cpu device gives: NaN, an infinity of that sign, finite; how many
 * are of each. Frees the run. */
struct gpu_matrix_kinds {
    int64_t nan, infinite, finite;
};
struct gpu_matrix_kinds gpu_matrix_check_kinds(
    struct gpu_matrix *both, const char *op, struct gpu_matrix_run *run, int out, bool prepared);

#endif
