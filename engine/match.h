/*
 * Matching: whether the arguments of a launch are the usual form of a plan's problem. The short way
 * through the request stage for launches that hit: what it accepts is exactly what request_bind()
 * would accept with the same result; what it does not recognise goes there.
 */
#ifndef TFOPS_ENGINE_MATCH_H
#define TFOPS_ENGINE_MATCH_H

#include "request.h"
#include <stdbool.h>

/* What an operand must look like, computed once for a plan. */
struct match_operand {
    int64_t inner; /* extent of the last dimension */
    uint32_t dtype;
    int32_t rank; /* 1: [inner]; 2: [dynamic, inner]; 0: absent */
    uint32_t elem_bytes;
    uint32_t may_alias; /* operands it may be the very same as */
    bool written;
};

struct match {
    bool usable; /* false: the operator has other shapes; every launch takes request_bind() */
    uint8_t n_operands, n_scalars;
    uint8_t dynamic_dim;
    struct match_operand operands[TFOPS_MAX_OPERANDS];
};

void match_init(const struct tfops_problem *problem, struct match *ret_match);

/* How the arguments' alignment must relate to the problem's. */
enum match_align {
    MATCH_ALIGN_ENOUGH, /* at least that: a held plan serves better-aligned tensors too */
    MATCH_ALIGN_EXACT,  /* that very class: what the key of a look-up would say */
};

/*
 * Fills *ret_request and returns true when the arguments are right in the usual form. The dynamic
 * extent is at least 1.
 */
bool match_bind(const struct match *match, const struct tfops_problem *problem,
    const struct tfops_args *args, enum match_align align, struct request *ret_request);

#endif
