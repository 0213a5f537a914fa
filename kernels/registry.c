/* The table of all built-in operators (see registry.h). */
#include "registry.h"
#include "activation/activation_specs.h"
#include "gemm/gemm_specs.h"
#include "norm/norm_specs.h"
#include "quant/quant_specs.h"
#include "rope/rope_specs.h"
#include "softmax/softmax_specs.h"
#include "transpose/transpose_specs.h"

const struct tfops_spec *const registry_specs[] = {
    &rmsnorm_spec,
    &add_rmsnorm_spec,
    &layernorm_spec,
    &add_layernorm_spec,
    &rmsnorm_quant_spec,
    &add_rmsnorm_quant_spec,
    &quantize_spec,
    &dequantize_spec,
    &transpose_spec,
    &gated_act_spec,
    &softmax_spec,
    &linear_spec,
    &fp8_gemm_spec,
    &gated_mlp_spec,
    &fp8_gated_mlp_spec,
    &rmsnorm_linear_spec,
    &rmsnorm_linears_spec,
    &linear_add_rmsnorm_spec,
    &rope_spec,
    &rmsnorm_rope_spec,
};
const size_t registry_count = sizeof registry_specs / sizeof registry_specs[0];
