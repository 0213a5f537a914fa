/*
 * The tuner's own kernels (kernels/support/): they fill inputs, compare outputs and move bytes for
 * the copy roof. Not operators: no spec, no tuning, one binary per architecture, built in.
 */
#ifndef TFOPS_ENGINE_SUPPORT_H
#define TFOPS_ENGINE_SUPPORT_H

#include "render.h"

enum support_kernel { SUPPORT_FILL = 0, SUPPORT_COMPARE, SUPPORT_COPY, SUPPORT_COUNT };

enum tfops_status support_job(const struct env *env, enum support_kernel kernel,
    const struct tfops_device *device, struct build_job *ret_job);

#endif
