// gemm_odd_rows.cuh: sixteen bytes of a row that starts at an odd address, by aligned words.
//
// Neither TMA nor cp.async takes such rows. A chunk is put together from the five words that it lies
// in; where one of these reaches beyond the row, from elements. It is held in registers from before a
// block of K is multiplied until after it, which hides the loads.
#pragma once
#include "device/mem.cuh"

template <class T, int K> struct GemmOddRows {
    static constexpr int ELEM = (int)sizeof(T), WORDS = 5;

    // Sixteen bytes from element k on; zeros beyond the row.
    TF_DEV void fetch(u32 (&w)[4], const T *row, int k, bool inside)
    {
        const char *begin = reinterpret_cast<const char *>(row), *at = begin + (long long)k * ELEM;
        const int shift = (int)(reinterpret_cast<u64>(at) & 3);
        const char *first = at - shift;
        if (inside && first >= begin && first + 4 * WORDS <= begin + (long long)K * ELEM)
            words(w, first, 8 * shift);
        else
            elements(w, row + k, inside ? K - k : 0);
    }

    TF_DEV void words(u32 (&w)[4], const char *first, int bits)
    {
        u32 v[WORDS];
        TF_UNROLL
        for (int i = 0; i < WORDS; i++)
            ld_words<LD_KEEP, 1>(first + 4 * i, v + i);
        TF_UNROLL
        for (int i = 0; i < 4; i++)
            w[i] = (u32)(((u64)v[i + 1] << 32 | v[i]) >> bits);
    }

    TF_DEV void elements(u32 (&w)[4], const T *at, int left)
    {
        TF_UNROLL
        for (int i = 0; i < 4; i++)
            w[i] = 0;
        TF_UNROLL
        for (int i = 0; i < 16 / ELEM; i++)
            if (i < left)
                w[i * ELEM / 4] |= (u32)ld_elem<LD_KEEP>(at + i).bits << (i * ELEM % 4 * 8);
    }
};
