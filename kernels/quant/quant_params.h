/*
 * quant_params.h: where a row operator writes the scales of its fp8 output, shared by the host (C11)
 * and the templates.
 *
 * Fixed-size built-in types only, no include: NVRTC has no system headers.
 */
#ifndef TFOPS_QUANT_PARAMS_H
#define TFOPS_QUANT_PARAMS_H

struct quant_params {
    float
        *scales; /* of row r and group g at r · row_stride + g · group_stride; a row is one group */
    long long row_stride;
    long long group_stride;
    long long by_group; /* generic kernels only: a scale for QUANT_GROUP_ELEMS elements of a row */
};

enum { QUANT_GROUP_ELEMS = 128 };

#endif
