/*
 * Floating-point elements on the host: load and store of one element of any float dtype. Rounding
 * is to nearest, ties to even. f16 and bf16 overflow to infinity; e4m3 and e5m2 saturate: overflow
 * and infinity give the largest finite value. NaN stays NaN.
 */
#ifndef TFOPS_BASE_HALF_H
#define TFOPS_BASE_HALF_H

#include <stdbool.h>
#include <stdint.h>
#include <tfops/tensor.h>

float half_from_f16(uint16_t bits);
float half_from_bf16(uint16_t bits);
float half_from_e4m3(uint8_t bits);
float half_from_e5m2(uint8_t bits);
uint16_t half_to_f16(double value);
uint16_t half_to_bf16(double value);
uint8_t half_to_e4m3(double value);
uint8_t half_to_e5m2(double value);

/* Whether the dtype is one of f32, f16, bf16, e4m3, e5m2: what the functions below know. */
bool half_knows(enum tfops_dtype dtype);
/* Element i of memory of such a dtype; NaN for others. */
double half_load(const void *data, enum tfops_dtype dtype, int64_t i);
/* Rounds once, from double. Other dtypes are left alone. */
void half_store(void *data, enum tfops_dtype dtype, int64_t i, double value);
/* The value after rounding to the dtype. */
double half_round(enum tfops_dtype dtype, double value);

#endif
