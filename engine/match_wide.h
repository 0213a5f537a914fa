/*
 * Matching of any shape: the short way through the request stage for what match.h does not take, that
 * is operands of more than two dimensions, leading extents that collapse, dimensions that are free or
 * derived, operands that are accessed by element. As there: what it accepts is exactly what
 * request_bind() and request_accepts() would accept with the same result; all else goes there.
 */
#ifndef TFOPS_ENGINE_MATCH_WIDE_H
#define TFOPS_ENGINE_MATCH_WIDE_H

#include "match.h"

/* What a present operand must look like, but for extents that each launch has of its own. */
struct wide_operand {
    uint8_t index; /* in the arguments */
    uint8_t dtype, elem_bytes, rank;
    uint8_t dims[TFOPS_MAX_OPERAND_RANK];
    bool rows;    /* leading extents collapse */
    bool aligned; /* enters the alignment class */
    bool written;
    uint16_t may_alias; /* bit k: may be the very same as row k of the table */
};

/* A dimension that a launch has an extent of its own of, and who tells it. */
struct wide_source {
    uint8_t dim, row, at; /* dimension `at` of that row of the table */
    int64_t least, most;
};

struct match_wide {
    bool usable; /* false: something is neither told by an operand nor what it is by default */
    bool asks;   /* the operator's own rule is asked at every launch */
    uint8_t n_operands, first_written, n_sources, n_derived;
    uint8_t dynamic_dim;
    uint16_t absent; /* bit i: operand i of the arguments must be NULL */
    uint8_t derived[TFOPS_MAX_DIMS];
    /* Operands that are present, what is written last: it keeps off all before it. */
    struct wide_operand operands[TFOPS_MAX_OPERANDS];
    struct wide_source sources[TFOPS_MAX_DIMS];
};

void match_wide_init(const struct tfops_problem *problem, struct match_wide *ret_match);

/* Fills *ret_request and returns true when the arguments are right, the dynamic extent above 0. */
bool match_wide_bind(const struct match_wide *match, const struct tfops_problem *problem,
    const struct tfops_args *args, enum match_align align, struct request *ret_request);

#endif
