/* All built-in operators. A new one adds its spec to the table in registry.c. */
#ifndef TFOPS_KERNELS_REGISTRY_H
#define TFOPS_KERNELS_REGISTRY_H

#include <stddef.h>
#include <tfops/spec.h>

extern const struct tfops_spec *const registry_specs[];
extern const size_t registry_count;

#endif
