/*
 * The space of quantize: that of the row template for what rows decide, and the same tunables with
 * fewer choices where tiles or the whole tensor share a scale (quant/quantize_tile.cuh,
 * quant/quantize_tensor.cuh).
 */
#ifndef TFOPS_KERNELS_QUANTIZE_SPACE_H
#define TFOPS_KERNELS_QUANTIZE_SPACE_H

#include "row/row_space.h"

/* What makes a scale. */
enum quantize_flow { QUANTIZE_FLOW_ROWS, QUANTIZE_FLOW_TILES, QUANTIZE_FLOW_TENSOR };
enum quantize_flow quantize_flow(const struct tfops_problem *problem);

bool quantize_constraint(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config,
    char reason[TFOPS_REASON_BYTES]);
void quantize_default_config(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, struct tfops_config *ret_config);
void quantize_geometry(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config,
    struct tfops_geometry *ret_geometry);
/* Counters of the turnstile, where the tensor has one scale of its own. */
size_t quantize_workspace(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config);

#endif
