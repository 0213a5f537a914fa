/* Whether a spec says something that can be true: done once, when an operator is registered. */
#ifndef TFOPS_ENGINE_SPEC_CHECK_H
#define TFOPS_ENGINE_SPEC_CHECK_H

#include "base/env.h"
#include <tfops/spec.h>

/* TFOPS_E_ABI names the field that contradicts the ABI or another field. */
enum tfops_status spec_check(const struct tfops_spec *spec);

/* A deep copy of the tables and strings (callbacks and `user` are shared); free with spec_free(). */
enum tfops_status spec_copy(
    const struct env *env, const struct tfops_spec *spec, struct tfops_spec **ret_copy);
void spec_free(const struct env *env, struct tfops_spec *spec);

#endif
