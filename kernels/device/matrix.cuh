// matrix.cuh: 8x8 blocks of 16-bit elements between shared memory and the fragments of mma (a warp
// each). Lane l holds of block i the elements (l / 4, 2 (l % 4)) and the next in word i. Lane
// 8 i + r gives the address of row r of block i, a multiple of 16 bytes; lanes beyond the blocks'
// give any address. Transposed: row and column change places.
#pragma once
#include "device/shared.cuh"

// PTX ISA 9.7.14.5.15 ldmatrix (sm_75 and later)
TF_DEV void matrix_load(u32 (&w)[4], const void *row)
{
#ifdef TF_HOST
    emu::matrix_load<4>(w, row);
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(w[0]), "=r"(w[1]), "=r"(w[2]), "=r"(w[3])
                 : "r"(shared_address(row))
                 : "memory");
#endif
}

TF_DEV void matrix_load(u32 (&w)[2], const void *row)
{
#ifdef TF_HOST
    emu::matrix_load<2>(w, row);
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(w[0]), "=r"(w[1])
                 : "r"(shared_address(row))
                 : "memory");
#endif
}

// PTX ISA 9.7.14.5.16 stmatrix (sm_90 and later)
TF_DEV void matrix_store(void *row, const u32 (&w)[4])
{
#ifdef TF_HOST
    emu::matrix_store<4>(row, w);
#else
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(
                     shared_address(row)),
                 "r"(w[0]), "r"(w[1]), "r"(w[2]), "r"(w[3])
                 : "memory");
#endif
}

TF_DEV void matrix_store_transposed(void *row, const u32 (&w)[4])
{
#ifdef TF_HOST
    emu::matrix_store_transposed<4>(row, w);
#else
    asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(
                     shared_address(row)),
                 "r"(w[0]), "r"(w[1]), "r"(w[2]), "r"(w[3])
                 : "memory");
#endif
}

TF_DEV void matrix_store_transposed(void *row, const u32 (&w)[2])
{
#ifdef TF_HOST
    emu::matrix_store_transposed<2>(row, w);
#else
    asm volatile(
        "stmatrix.sync.aligned.m8n8.x2.trans.shared.b16 [%0], {%1, %2};" ::"r"(shared_address(row)),
        "r"(w[0]), "r"(w[1])
        : "memory");
#endif
}
