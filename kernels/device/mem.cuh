// mem.cuh: global memory accesses of 1, 2, 4, 8 and 16 bytes, with cache hints.
//
// The address must be a multiple of the access width; the host has checked that (alignment class).
// PTX ISA 9.7.8.8 ld, 9.7.8.9 ld.global.nc, 9.7.8.11 st; 8.2.2 vector alignment.
#pragma once
#include "device/l2_policy.cuh"
#include "device/vec.cuh"

enum {
    LD_KEEP,   // default caching: the same thread reads it again soon
    LD_ONCE,   // not allocated in L1
    LD_LINE,   // the like, of which L2 brings the whole line: others soon read the rest of it
    LD_STREAM, // evict-first in L1 and L2
    LD_LAST,   // stays in L2 longer than what other loads bring (16-byte accesses)
    LD_CONST,  // read-only for the whole kernel, by every block: non-coherent path, kept in L1
};
enum { ST_KEEP, ST_STREAM };

// Volatile: merged with the first read, a second read would keep the row in registers.
#define TF_LOAD(hint, op)                                                                          \
    if constexpr (HINT == hint) {                                                                  \
        if constexpr (WORDS == 4)                                                                  \
            asm volatile(op ".v4.u32 {%0, %1, %2, %3}, [%4];"                                      \
                         : "=r"(w[0]), "=r"(w[1]), "=r"(w[2]), "=r"(w[3])                          \
                         : "l"(p));                                                                \
        else if constexpr (WORDS == 2)                                                             \
            asm volatile(op ".v2.u32 {%0, %1}, [%2];" : "=r"(w[0]), "=r"(w[1]) : "l"(p));          \
        else                                                                                       \
            asm volatile(op ".u32 %0, [%1];" : "=r"(w[0]) : "l"(p));                               \
    }

template <int HINT, int WORDS> TF_DEV void ld_words(const void *p, u32 *w)
{
    static_assert(WORDS == 1 || WORDS == 2 || WORDS == 4, "4, 8 or 16 bytes");
#ifdef TF_HOST
    emu::load<WORDS * 4>(w, p);
#else
    TF_LOAD(LD_KEEP, "ld.global")
    TF_LOAD(LD_ONCE, "ld.global.L1::no_allocate")
    TF_LOAD(LD_LINE, "ld.global.L1::no_allocate.L2::128B")
    TF_LOAD(LD_STREAM, "ld.global.cs")
    if constexpr (HINT == LD_LAST && WORDS == 4)
        asm volatile("ld.global.L1::no_allocate.L2::cache_hint.v4.u32 {%0, %1, %2, %3}, [%4], %5;"
                     : "=r"(w[0]), "=r"(w[1]), "=r"(w[2]), "=r"(w[3])
                     : "l"(p), "l"(l2_policy<L2_EVICT_LAST>()));
    else
        TF_LOAD(LD_LAST, "ld.global.L1::no_allocate")
    TF_LOAD(LD_CONST, "ld.global.nc")
#endif
}
#undef TF_LOAD

// Brings the line of an address to L2; nobody learns when. Of what an earlier kernel still writes, too: L2
// is where all see the same. PTX ISA 9.7.9 prefetch
TF_DEV void l2_prefetch(const void *p)
{
#ifdef TF_HOST
    char byte; // it can be read
    emu::load<1>(&byte, p);
#else
    asm volatile("prefetch.global.L2 [%0];" ::"l"(p) : "memory");
#endif
}

template <int HINT> TF_DEV u16 ld_half(const void *p)
{
#ifdef TF_HOST
    u16 h;
    emu::load<2>(&h, p);
    return h;
#else
    u16 h;
    if constexpr (HINT == LD_CONST)
        asm volatile("ld.global.nc.u16 %0, [%1];" : "=h"(h) : "l"(p));
    else
        asm volatile("ld.global.u16 %0, [%1];" : "=h"(h) : "l"(p));
    return h;
#endif
}

#define TF_STORE(hint, op)                                                                         \
    if constexpr (HINT == hint) {                                                                  \
        if constexpr (WORDS == 4)                                                                  \
            asm volatile(op ".v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(p), "r"(w[0]), "r"(w[1]),      \
                         "r"(w[2]), "r"(w[3])                                                      \
                         : "memory");                                                              \
        else if constexpr (WORDS == 2)                                                             \
            asm volatile(op ".v2.u32 [%0], {%1, %2};" ::"l"(p), "r"(w[0]), "r"(w[1]) : "memory");  \
        else                                                                                       \
            asm volatile(op ".u32 [%0], %1;" ::"l"(p), "r"(w[0]) : "memory");                      \
    }

template <int HINT, int WORDS> TF_DEV void st_words(void *p, const u32 *w)
{
    static_assert(WORDS == 1 || WORDS == 2 || WORDS == 4, "4, 8 or 16 bytes");
#ifdef TF_HOST
    emu::store<WORDS * 4>(p, w);
#else
    TF_STORE(ST_KEEP, "st.global")
    TF_STORE(ST_STREAM, "st.global.cs")
#endif
}
#undef TF_STORE

TF_DEV void st_half(void *p, u16 h)
{
#ifdef TF_HOST
    emu::store<2>(p, &h);
#else
    asm volatile("st.global.u16 [%0], %1;" ::"l"(p), "h"(h) : "memory");
#endif
}

TF_DEV void st_byte(void *p, u32 b)
{
#ifdef TF_HOST
    *static_cast<u8 *>(p) = (u8)b;
#else
    asm volatile("st.global.u8 [%0], %1;" ::"l"(p), "r"(b) : "memory");
#endif
}

template <int HINT = LD_KEEP> TF_DEV u32 ld_byte(const void *p)
{
#ifdef TF_HOST
    return *static_cast<const u8 *>(p);
#else
    u32 b;
    if constexpr (HINT == LD_CONST)
        asm volatile("ld.global.nc.u8 %0, [%1];" : "=r"(b) : "l"(p));
    else
        asm volatile("ld.global.u8 %0, [%1];" : "=r"(b) : "l"(p));
    return b;
#endif
}

template <int HINT> TF_DEV float ld_elem(const float *p)
{
    u32 w;
    ld_words<HINT, 1>(p, &w);
    return f32_from_bits(w);
}

template <int HINT> TF_DEV int ld_elem(const int *p)
{
    u32 w;
    ld_words<HINT, 1>(p, &w);
    return (int)w;
}

template <int HINT> TF_DEV long long ld_elem(const long long *p)
{
    u32 w[2];
    ld_words<HINT, 2>(p, w);
    return (long long)((u64)w[1] << 32 | w[0]);
}

template <int HINT, class T> TF_DEV T ld_elem(const T *p)
{
    if constexpr (sizeof(T) == 1)
        return T{(u8)ld_byte<HINT>(p)};
    else
        return T{ld_half<HINT>(p)};
}

TF_DEV void st_elem(float *p, float v)
{
    const u32 w = f32_bits(v);
    st_words<ST_KEEP, 1>(p, &w);
}

template <class T> TF_DEV void st_elem(T *p, T v)
{
    if constexpr (sizeof(T) == 1)
        st_byte(p, v.bits);
    else
        st_half(p, v.bits);
}

// N elements by accesses of at most WIDTH bytes (the alignment of p).
template <int HINT, int WIDTH, class T, int N> TF_DEV Vec<T, N> ld_vec(const T *p)
{
    using V = Vec<T, N>;
    constexpr int STEP = min_int(min_int(WIDTH, 16), V::BYTES);
    V v = vec_zero<T, N>();
    TF_UNROLL
    for (int at = 0; at < V::BYTES; at += STEP) {
        const char *q = reinterpret_cast<const char *>(p) + at;
        if constexpr (STEP == 1)
            v.w[at / 4] |= ld_byte<HINT>(q) << (at % 4 * 8);
        else if constexpr (STEP == 2)
            v.w[at / 4] |= (u32)ld_half<HINT>(q) << (at % 4 * 8);
        else
            ld_words<HINT, STEP / 4>(q, v.w + at / 4);
    }
    return v;
}

// N elements in one access where `inside`, else zeros, as LD_KEEP. A predicate: in unrolled code a branch
// for each load costs compile time, and an address for each of them registers. PTX ISA 9.3
template <class T, int N> TF_DEV Vec<T, N> ld_vec_if(const T *p, bool inside)
{
    using V = Vec<T, N>;
    static_assert(V::BYTES == 2 || V::BYTES == 4 || V::BYTES == 8, "one access");
    V v = vec_zero<T, N>();
#ifdef TF_HOST
    if (inside)
        emu::load<V::BYTES>(&v, p);
#else
    if constexpr (V::BYTES == 8)
        asm volatile("{ .reg .pred q; setp.ne.u32 q, %3, 0; @q ld.global.v2.u32 {%0, %1}, [%2]; }"
                     : "+r"(v.w[0]), "+r"(v.w[1])
                     : "l"(p), "r"((u32)inside));
    else if constexpr (V::BYTES == 4)
        asm volatile("{ .reg .pred q; setp.ne.u32 q, %2, 0; @q ld.global.u32 %0, [%1]; }"
                     : "+r"(v.w[0])
                     : "l"(p), "r"((u32)inside));
    else
        asm volatile("{ .reg .pred q; setp.ne.u32 q, %2, 0; @q ld.global.u16 %0, [%1]; }"
                     : "+r"(v.w[0])
                     : "l"(p), "r"((u32)inside));
#endif
    return v;
}

template <class T> TF_DEV float ld_f32_if(const T *p, bool inside)
{
    float f[1];
    vec_unpack(ld_vec_if<T, 1>(p, inside), f);
    return f[0];
}

template <int HINT, int WIDTH, class T, int N> TF_DEV void st_vec(T *p, const Vec<T, N> &v)
{
    using V = Vec<T, N>;
    constexpr int STEP = min_int(min_int(WIDTH, 16), V::BYTES);
    TF_UNROLL
    for (int at = 0; at < V::BYTES; at += STEP) {
        char *q = reinterpret_cast<char *>(p) + at;
        if constexpr (STEP == 1)
            st_byte(q, v.w[at / 4] >> (at % 4 * 8));
        else if constexpr (STEP == 2)
            st_half(q, (u16)(v.w[at / 4] >> (at % 4 * 8)));
        else
            st_words<HINT, STEP / 4>(q, v.w + at / 4);
    }
}
