/* What the tables of operators that rotate share: options, dimensions, what is accepted. */
#ifndef TFOPS_KERNELS_ROPE_SPEC_TABLES_H
#define TFOPS_KERNELS_ROPE_SPEC_TABLES_H

#include "kernels/spec_tables.h"
#include "rope_specs.h"

enum { ROPE_MAX_HEAD_DIM = 1024 };

static const char *const ROPE_STYLES[] = {"half_split", "interleaved"};
static const char *const ROPE_TABLES[] = {"full", "half"};

#define ROPE_STYLE_OPTION                                                                          \
    {                                                                                              \
        "style", ROPE_STYLES, 2, "pairs (i, i + rotary_dim / 2), GPT-NeoX and HF; (2i, 2i + 1)"    \
    }
#define ROPE_TABLE_OPTION                                                                          \
    {                                                                                              \
        "table", ROPE_TABLES, 2,                                                                   \
            "rows of cos and sin: rotary_dim elements, one for each; half of that, one a pair"     \
    }
#define ROPE_TABLE_DIM_ROW                                                                         \
    {                                                                                              \
        "table_dim", 0, 1, ROPE_MAX_HEAD_DIM, "elements of a row of cos and sin"                   \
    }
#define ROPE_MAX_POS_ROW                                                                           \
    {                                                                                              \
        "max_pos", TFOPS_DIM_FREE, 1, INT32_MAX, "rows of cos and sin"                             \
    }

/* Whether heads have pairs and the tables fit in them. `x` names the tensor with the heads. */
static inline bool rope_accepts_table(const struct tfops_problem *problem, const char *x,
    int64_t head_dim, int64_t table_dim, char reason[TFOPS_REASON_BYTES])
{
    const int64_t rotary = rope_rotary_dim(problem, table_dim);
    if (head_dim % 2)
        return spec_refuse(
            reason, "%s: expected an even head_dim, got %lld", x, (long long)head_dim);
    if (rotary % 2)
        return spec_refuse(reason, "cos: expected rows of an even number of elements, got %lld",
            (long long)table_dim);
    if (rotary > head_dim)
        return spec_refuse(reason,
            "cos: expected rows of at most %lld elements (head_dim=%lld, table=%s), got %lld",
            (long long)(head_dim * table_dim / rotary), (long long)head_dim,
            ROPE_TABLES[problem->options[ROPE_TABLE]], (long long)table_dim);
    return true;
}

/* Elements of the widest vectors that the halves of what rotates and of what passes are made of. */
static inline int64_t rope_vec_most(
    const struct tfops_problem *problem, int64_t head_dim, int64_t table_dim)
{
    const int64_t rotary = rope_rotary_dim(problem, table_dim);
    const int64_t both = rotary / 2 | (head_dim - rotary) / 2;
    return both & -both;
}

#endif
