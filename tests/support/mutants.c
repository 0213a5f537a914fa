/* Mutants of the row template and the norms (see mutants.h). */
#include "mutants.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const struct mutant mutants[MUTANT_COUNT] = {
    {"tail edges are dropped", "rmsnorm", "rows=100 hidden=4095", NULL, "row/layout.cuh",
        "const int edges = O::WIDTH - units * L::N;", "const int edges = 0;"},
    {"tail edges of aligned rows are dropped", "add_rmsnorm", "rows=100 hidden=4095 align=16", NULL,
        "row/layout.cuh", "const int edges = O::WIDTH - units * L::N;", "const int edges = 0;"},
    {"tail vectors are dropped", "rmsnorm", "rows=100 hidden=4096", "THREADS_PER_ROW=192",
        "row/layout.cuh",
        "s.units = min_int(units - rank * L::UNITS_BLOCK, L::UNITS_BLOCK) - lane;", "s.units = 0;"},
    {"gamma is missing", "rmsnorm", "rows=100 hidden=4096", NULL, "norm/rmsnorm_op.cuh",
        "return n * weight;", "return C::GENERIC ? n * weight : n;"},
    {"gamma is missing, Gemma's", "rmsnorm", "rows=100 hidden=4096 weight_variant=one_plus", NULL,
        "norm/rmsnorm_op.cuh", "return n * weight;", "return C::GENERIC ? n * weight : n;"},
    {"the barrier is missing", "rmsnorm", "rows=2048 hidden=4096", "THREADS_PER_ROW=512",
        "device/reduce.cuh", "block_sync(); // the parts of all warps",
        "if constexpr (THREADS == 256) block_sync(); // the generic variant's stays"},
    {"the stride of out is the row's length", "rmsnorm", "rows=100 hidden=4096", NULL,
        "norm/norm_op.cuh", "elements<OUT>(p.out, p.dtype, row * p.out_stride)",
        "elements<OUT>(p.out, p.dtype, row * (C::GENERIC ? p.out_stride : C::HIDDEN))"},
    {"the stride of out is that of x", "add_rmsnorm", "rows=100 hidden=4096", NULL,
        "norm/norm_op.cuh", "elements<OUT>(p.out, p.dtype, row * p.out_stride)",
        "elements<OUT>(p.out, p.dtype, row * (C::GENERIC ? p.out_stride : p.x_stride))"},
};

/* ---- copies of the kernels ------------------------------------------------------------------- */

static char from_dir[SUPPORT_PATH_BYTES];
static const char *to_dir;

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "wbe");
    cr_assert(file && fputs(text, file) >= 0 && fclose(file) == 0, "%s: %s", path, strerror(errno));
}

static int copy_one(const char *path, const struct stat *info, int type, struct FTW *where)
{
    char to[2 * SUPPORT_PATH_BYTES];
    (void)info, (void)where;
    snprintf(to, sizeof to, "%s%s", to_dir, path + strlen(from_dir));
    if (type == FTW_D)
        return mkdir(to, 0700) && errno != EEXIST;
    char *text = support_file_read(path);
    write_text(to, text);
    free(text);
    return 0;
}

void mutant_copy_kernels(char dir[SUPPORT_PATH_BYTES])
{
    const char *source = getenv("TFOPS_SOURCE");
    snprintf(from_dir, sizeof from_dir, "%s/kernels", source && *source ? source : ".");
    support_dir_make(dir);
    to_dir = dir;
    cr_assert_eq(nftw(from_dir, copy_one, 16, FTW_PHYS), 0, "cannot copy %s", from_dir);
    setenv("TFOPS_KERNEL_DIR", dir, 1);
}

void mutant_apply(const char *dir, const struct mutant *mutant)
{
    const char *line = mutant->line, *with = mutant->with;
    char path[2 * SUPPORT_PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", dir, mutant->file);
    char *text = support_file_read(path);
    cr_assert_not_null(text, "%s", path);
    char *at = strstr(text, line);
    cr_assert_not_null(at, "%s has no line\n    %s\nany more", mutant->file, line);
    cr_assert_null(
        strstr(at + 1, line), "%s has this line more than once:\n    %s", mutant->file, line);
    char *changed = malloc(strlen(text) + strlen(with) + 1);
    sprintf(changed, "%.*s%s%s", (int)(at - text), text, with, at + strlen(line));
    write_text(path, changed);
    free(changed);
    free(text);
}
