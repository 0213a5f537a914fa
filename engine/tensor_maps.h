/*
 * The tensor maps of a launch, in its parameters. Each thread keeps the last ones it encoded, found by what
 * they describe: pointing one at another address takes the driver 9 ns, encoding one 42. Nothing is shared, so
 * nothing is locked; a map holds a shape and an address, so nothing of it ends with a plan or an engine.
 */
#ifndef TFOPS_ENGINE_TENSOR_MAPS_H
#define TFOPS_ENGINE_TENSOR_MAPS_H

#include "driver.h"
#include <tfops/spec.h>

/* Writes the operator's maps, where it has any. Returns the driver's result; *ret_call: the call that gave
 * it, untouched where none was made. */
CUresult tensor_maps_put(const struct driver *driver, const struct tfops_spec *spec,
    const struct tfops_launch_args *args, unsigned char *params, const char **ret_call);

/* The same by encoding each. *ret_n: how many there are. */
CUresult tensor_maps_encode(const struct driver *driver, const struct tfops_spec *spec,
    const struct tfops_launch_args *args, unsigned char *params, size_t *ret_n);

#endif
