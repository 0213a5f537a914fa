/*
 * Each mutant that the GPU tests want rejected can still be made: its line is in the templates. One
 * that is not any more fails here: write it anew.
 */
#include "tests/support/mutants.h"
#include <criterion/criterion.h>

Test(mutants, lines_are_in_the_templates)
{
    for (size_t i = 0; i < MUTANT_COUNT; i++) {
        char kernels[SUPPORT_PATH_BYTES];
        mutant_copy_kernels(kernels);
        mutant_apply(kernels, &mutants[i]);
        support_dir_remove(kernels);
    }
}
