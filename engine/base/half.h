/*
 * Floating-point elements on the host: load and store of one element of any float dtype. Rounding is
 * to nearest, ties to even; overflow gives infinity (f16, bf16); NaN stays NaN.
 */
#ifndef TFOPS_BASE_HALF_H
#define TFOPS_BASE_HALF_H

#include <stdint.h>
#include <tfops/tensor.h>

float half_from_f16(uint16_t bits);
float half_from_bf16(uint16_t bits);
uint16_t half_to_f16(double value);
uint16_t half_to_bf16(double value);

/* Element i of f32, f16 or bf16 memory; NaN for other dtypes. */
double half_load(const void *data, enum tfops_dtype dtype, int64_t i);
/* Rounds once, from double. Other dtypes are left alone. */
void half_store(void *data, enum tfops_dtype dtype, int64_t i, double value);
/* The value after rounding to the dtype. */
double half_round(enum tfops_dtype dtype, double value);

#endif
