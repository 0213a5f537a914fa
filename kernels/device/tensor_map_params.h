/*
 * tensor_map_params.h: a TMA descriptor as it stands in a parameter pack. The engine encodes it
 * (struct tfops_tensor_map says what), kernels pass its address on.
 */
#ifndef TFOPS_TENSOR_MAP_PARAMS_H
#define TFOPS_TENSOR_MAP_PARAMS_H

#ifdef __cplusplus
#    define TENSOR_MAP_ALIGN alignas(64)
#else
#    define TENSOR_MAP_ALIGN _Alignas(64)
#endif

struct tensor_map {
    TENSOR_MAP_ALIGN unsigned long long words[16];
};

#endif
