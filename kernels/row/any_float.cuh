// any_float.cuh: elements of f32, f16 or bf16 whose dtype is known at run time. The generic variants
// have them in place of a type: one binary holds an operator once, not once a combination of dtypes.
#pragma once
#include "device/mem.cuh"

// Where a policy names an element type.
struct AnyFloat {};

// A pointer to them. B: u8 or const u8.
template <class B> struct AnyFloats {
    B *at;
    int dtype;

    TF_METHOD AnyFloats operator+(long long elements) const
    {
        return {at + elements * dtype_bytes(dtype), dtype};
    }
    TF_METHOD explicit operator bool() const
    {
        return at != nullptr;
    }
};

template <class T> struct ElementsOf {
    TF_DEV T *at(void *base, int)
    {
        return static_cast<T *>(base);
    }
    TF_DEV const T *at(const void *base, int)
    {
        return static_cast<const T *>(base);
    }
    TF_DEV float round(float x, int)
    {
        return to_f32(from_f32<T>(x));
    }
};
template <> struct ElementsOf<AnyFloat> {
    TF_DEV AnyFloats<u8> at(void *base, int dtype)
    {
        return {static_cast<u8 *>(base), dtype};
    }
    TF_DEV AnyFloats<const u8> at(const void *base, int dtype)
    {
        return {static_cast<const u8 *>(base), dtype};
    }
    TF_DEV float round(float x, int dtype)
    {
        return dtype == DTYPE_F32   ? x
               : dtype == DTYPE_F16 ? to_f32(from_f32<f16>(x))
                                    : to_f32(from_f32<bf16>(x));
    }
};

// T *, or AnyFloats where T is AnyFloat.
template <class T, class P> TF_DEV auto elements(P *base, int dtype, long long first)
{
    return ElementsOf<T>::at(base, dtype) + first;
}

// x rounded to T.
template <class T> TF_DEV float round_to(float x, int dtype)
{
    return ElementsOf<T>::round(x, dtype);
}

// ---- LEN elements; aligned: in vectors of up to 16 bytes, else one by one ----

template <int HINT, class U, int LEN>
TF_DEV void load_floats(const U *from, bool aligned, float (&f)[LEN])
{
    constexpr int ONE = (int)sizeof(U);
    if (LEN > 1 && aligned)
        vec_unpack(ld_vec<HINT, LEN * ONE, U, LEN>(from), f);
    else
        vec_unpack(ld_vec<HINT, ONE, U, LEN>(from), f);
}

template <int HINT, int LEN>
TF_DEV void load_floats(AnyFloats<const u8> from, bool aligned, float (&f)[LEN])
{
    if (from.dtype == DTYPE_F32)
        load_floats<HINT>(reinterpret_cast<const float *>(from.at), aligned, f);
    else if (from.dtype == DTYPE_F16)
        load_floats<HINT>(reinterpret_cast<const f16 *>(from.at), aligned, f);
    else
        load_floats<HINT>(reinterpret_cast<const bf16 *>(from.at), aligned, f);
}

template <class U, int LEN> TF_DEV void store_floats(U *to, bool aligned, const float (&f)[LEN])
{
    constexpr int ONE = (int)sizeof(U);
    const Vec<U, LEN> v = vec_pack<U, LEN>(f);
    if (LEN > 1 && aligned)
        st_vec<ST_KEEP, LEN * ONE, U, LEN>(to, v);
    else
        st_vec<ST_KEEP, ONE, U, LEN>(to, v);
}

template <int LEN> TF_DEV void store_floats(AnyFloats<u8> to, bool aligned, const float (&f)[LEN])
{
    if (to.dtype == DTYPE_F32)
        store_floats(reinterpret_cast<float *>(to.at), aligned, f);
    else if (to.dtype == DTYPE_F16)
        store_floats(reinterpret_cast<f16 *>(to.at), aligned, f);
    else
        store_floats(reinterpret_cast<bf16 *>(to.at), aligned, f);
}
