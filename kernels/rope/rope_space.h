/* The space of the rope template (rope.cu): tunables, constraint, default and geometry. */
#ifndef TFOPS_KERNELS_ROPE_SPACE_H
#define TFOPS_KERNELS_ROPE_SPACE_H

#include <tfops/spec.h>

enum rope_tunable {
    ROPE_VEC_BYTES,
    ROPE_THREADS,
    ROPE_HEADS,
    ROPE_TOKENS_NEXT,
    ROPE_STORE_HINT,
    ROPE_LOAD_HINT,
    ROPE_TUNABLES,
};
extern const struct tfops_tunable_spec rope_tunables[ROPE_TUNABLES];

bool rope_constraint(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config,
    char reason[TFOPS_REASON_BYTES]);
void rope_default_config(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, struct tfops_config *ret_config);
void rope_geometry(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config,
    struct tfops_geometry *ret_geometry);

#endif
