/* Extents of emulated problems (see emu_shape.h). */
#include "emu_shape.h"
#include "problem.h"
#include "tools/build/shapes.h"

/* Of a row: powers of two, odd ones, one vector, less than a warp, longer than a block's registers. */
static const int64_t WIDTHS[EMU_SHAPES] = {4096, 4095, 128, 1, 65536, 96, 8200, 33, 24576, 1000};

/* Of a matrix of static extents, rows and columns: many steps of K and few, part of a tile and
 * several; with rows of whole 16 bytes, which the copy engine wants, and without. */
static const struct {
    int64_t rows, cols;
} MATRICES[EMU_SHAPES] = {{320, 1024}, {264, 1001}, {96, 4096}, {1000, 96}, {33, 640}, {640, 2048},
    {128, 33}, {1, 1000}, {8, 1536}, {2056, 160}};

/* For few tokens, for some, for as many as fill a device. */
static const int64_t EXTENTS[EMU_EXTENTS] = {16384, 16, 256};

static bool is_plain(const struct tfops_dim_spec *dim)
{
    return !(dim->flags & (TFOPS_DIM_DYNAMIC | TFOPS_DIM_FREE | TFOPS_DIM_DERIVED));
}

/* The first operand of plain static extents only, a matrix; NULL: none. */
static const struct tfops_operand_spec *matrix_of(const struct tfops_spec *spec)
{
    for (size_t i = 0; i < spec->n_operands; i++) {
        const struct tfops_operand_spec *operand = &spec->operands[i];
        if (operand->rank == 2 && is_plain(&spec->dims[operand->dims[0]]) &&
            is_plain(&spec->dims[operand->dims[1]]))
            return operand;
    }
    return NULL;
}

static int64_t static_extent(const struct tfops_spec *spec, int dim, size_t shape)
{
    const struct tfops_operand_spec *matrix = matrix_of(spec);
    if (matrix && matrix->dims[0] == dim)
        return MATRICES[shape].rows;
    if (matrix && matrix->dims[1] == dim)
        return MATRICES[shape].cols;
    return shape_extent(spec->dims[dim].name, shape, WIDTHS[(shape + (size_t)dim) % EMU_SHAPES]);
}

/* Into the range; what is too large becomes a smaller power or a smaller odd number. */
static int64_t fitted(const struct tfops_dim_spec *dim, int64_t wish)
{
    while (wish > dim->max)
        wish /= 4;
    return wish < dim->min ? dim->min : wish;
}

/* Free dimensions are small: few blocks, few positions. */
void emu_shape_set(struct tfops_problem *problem, size_t shape, size_t extent)
{
    enum { FIRST_FREE = 2, OTHER_FREE = 16 };
    const struct tfops_spec *spec = problem->spec;
    const uint32_t told = problem_told_dims(problem);
    bool first = true;
    for (size_t i = 0; i < spec->n_dims; i++) {
        const struct tfops_dim_spec *dim = &spec->dims[i];
        int64_t wish;
        if (dim->flags & TFOPS_DIM_DERIVED || !(told >> i & 1))
            continue;
        if (dim->flags & TFOPS_DIM_DYNAMIC) {
            wish = EXTENTS[extent];
        } else if (dim->flags & TFOPS_DIM_FREE) {
            wish = first ? FIRST_FREE : OTHER_FREE;
            first = false;
        } else {
            wish = static_extent(spec, (int)i, shape);
        }
        problem->dims[i] = fitted(dim, wish);
    }
}

/* ---- rows of a trial ----------------------------------------------------------------------------- */

/* Indices of tokens, blocks and the like are all different, and below any free extent. */
static bool has_indices(const struct tfops_problem *problem)
{
    for (size_t i = 0; i < problem->spec->n_operands; i++) {
        int dtype = problem->dtypes[problem->spec->operands[i].dtype];
        if (problem->present >> i & 1 && (dtype == TFOPS_I32 || dtype == TFOPS_I64))
            return true;
    }
    return false;
}

int64_t emu_shape_rows(
    const struct tfops_problem *problem, enum emu_rows wish, int64_t most_products)
{
    static const int64_t ROWS[] = {1, 3, 5, 37};
    enum { MATRIX_ROWS = 300, INDEXED_ROWS = 8, LEAST_ROWS = 5 };
    enum { MOST_ELEMENTS = 1 << 15 };
    const struct tfops_spec *spec = problem->spec;
    const bool matrix = matrix_of(spec) != NULL;
    int64_t work = 1, rows = matrix && wish == EMU_MANY_ROWS ? MATRIX_ROWS : ROWS[wish];
    for (size_t i = 0; i < spec->n_dims; i++)
        if (!(spec->dims[i].flags & (TFOPS_DIM_DYNAMIC | TFOPS_DIM_DERIVED)) && problem->dims[i])
            work *= problem->dims[i];
    int64_t most = (matrix ? most_products : MOST_ELEMENTS) / work;
    most = most < LEAST_ROWS ? LEAST_ROWS : most;
    if (has_indices(problem) && most > INDEXED_ROWS)
        most = INDEXED_ROWS;
    return rows < most ? rows : most;
}
