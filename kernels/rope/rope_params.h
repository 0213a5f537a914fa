/*
 * rope_params.h: arguments of the rope kernels, shared by the host (C11) and the template.
 *
 * Fixed-size built-in types only, no include: NVRTC has no system headers. Strides count elements; the
 * elements of a head are adjacent.
 */
#ifndef TFOPS_ROPE_PARAMS_H
#define TFOPS_ROPE_PARAMS_H

enum { ROPE_PARAMS_Q, ROPE_PARAMS_K, ROPE_PARAMS_V, ROPE_PARAMS_TENSORS };

/* Heads that are read once and written to one or two places. */
struct rope_heads {
    const void *from;           /* [batch, seq, heads, head_dim] */
    void *out;                  /* likewise, or NULL; may be from, with the same strides */
    void *cache;                /* [num_blocks, block_size, heads, head_dim] or NULL */
    long long from_strides[3];  /* batch, seq, head */
    long long out_strides[3];   /* likewise */
    long long cache_strides[3]; /* block, offset, head */
};

struct rope_params {
    struct rope_heads heads[ROPE_PARAMS_TENSORS]; /* q, k, v; v is not rotated */
    const void *cos, *sin;                        /* [max_pos, table_dim] */
    const void *positions;                        /* [batch, seq], or NULL: the place in seq */
    const void *slots;                            /* [batch, seq], or NULL: no cache */
    long long cos_stride, sin_stride;
    long long positions_strides[2], slots_strides[2];
    unsigned tokens; /* batch · seq */
    unsigned batch, seq;
    unsigned block_size, cache_slots; /* tokens of a block; of all blocks */
    /* Read by the generic kernel only: the template has them as constants. */
    int n_heads[ROPE_PARAMS_TENSORS]; /* 0: absent */
    int head_dim, rotary_dim;
    int interleaved, half; /* pairs; a table's row has an angle a pair */
    int dtype;             /* enum tfops_dtype of heads */
    int table_dtype, position_dtype, slot_dtype;
};

#endif
