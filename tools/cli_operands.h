/* Contiguous operands of a problem on an engine's device, made from the spec alone. */
#ifndef TFOPS_TOOLS_CLI_OPERANDS_H
#define TFOPS_TOOLS_CLI_OPERANDS_H

#include <tfops/engine.h>
#include <tfops/plan.h>

struct cli_operands {
    struct tfops_engine *engine;
    struct tfops_tensor tensors[TFOPS_MAX_OPERANDS]; /* by operand; data NULL where absent */
    size_t bytes[TFOPS_MAX_OPERANDS];
    void *workspace;
    struct tfops_args args; /* points into this struct: do not copy it */
};

/* Allocates and zeroes; `plan` (may be NULL) says the workspace. Release also after a failure. */
enum tfops_status cli_operands_make(struct tfops_engine *engine,
    const struct tfops_problem *problem, const struct tfops_plan *plan,
    struct cli_operands *ret_operands);
void cli_operands_release(struct cli_operands *operands);

#endif
