/*
 * Mutants: copies of the kernels with one line wrong, which verification must reject on a GPU. That
 * each line is still in the templates is a unit test.
 */
#ifndef TESTS_SUPPORT_MUTANTS_H
#define TESTS_SUPPORT_MUTANTS_H

#include "tests/support/test_support.h"

/* `values`: tunables that differ from the default config, NULL: none. The reference on the device
 * is the generic variant, made from the same files: a mutant must not reach what it uses (a mistake in
 * both is found when the reference is held against the CPU's). */
struct mutant {
    const char *what, *op, *problem, *values, *file, *line, *with;
};

enum { MUTANT_COUNT = 8 };
extern const struct mutant mutants[MUTANT_COUNT];

/* Copies kernels/ into a fresh directory, which TFOPS_KERNEL_DIR then names. */
void mutant_copy_kernels(char dir[SUPPORT_PATH_BYTES]);

/* Puts mutant->with in place of mutant->line, which must be in the copy exactly once. */
void mutant_apply(const char *dir, const struct mutant *mutant);

#endif
