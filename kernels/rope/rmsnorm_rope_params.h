/* rmsnorm_rope_params.h: arguments of the rmsnorm_rope kernels; C11 and NVRTC (see norm_params.h). */
#ifndef TFOPS_RMSNORM_ROPE_PARAMS_H
#define TFOPS_RMSNORM_ROPE_PARAMS_H

#include "norm/norm_params.h"

struct rmsnorm_rope_params {
    struct norm_params norm; /* of a row, or of a head where heads are normalised alone */
    long long rows;          /* that are normalised */
    const void *cos, *sin;   /* [max_pos, table_dim] */
    const void *positions;   /* of each token, or NULL: its number modulo max_pos */
    long long x_pitch, out_pitch, weight_pitch; /* from head to head */
    long long cos_stride, sin_stride, positions_stride;
    unsigned max_pos;
    /* Read by the generic kernel only: the template has them as constants. */
    int heads; /* that a token has beside each other as rows of their own; else 1 */
    int head_dim, rotary_dim;
    int interleaved, half; /* pairs; a table's row has an angle a pair */
    int table_dtype, position_dtype;
};

#endif
