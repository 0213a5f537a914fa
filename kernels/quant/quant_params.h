/*
 * quant_params.h: where the scales of an fp8 tensor stand, shared by the host (C11) and templates.
 * Part of the parameters of every operator that writes or reads fp8. Built-in types only.
 */
#ifndef TFOPS_QUANT_PARAMS_H
#define TFOPS_QUANT_PARAMS_H

/* The scale of tile (down, across) is data[down * row_step + across * group_step]. */
struct quant_scales {
    float *data;
    long long row_step;
    long long group_step;
};

#endif
