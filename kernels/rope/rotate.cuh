// rotate.cuh: rotation of the pairs of a head; what rope.cu and rmsnorm_rope.cu share.
//
//   (a, b) -> (a cos - b sin, b cos + a sin)     Su et al., "RoFormer", 2021
//
// The first ROTARY elements of a head rotate, the rest pass. STYLE 0, half_split: pairs (i, i +
// ROTARY / 2); 1, interleaved: (2i, 2i + 1). TABLE 0, full: a cosine and a sine for each element; 1,
// half: for each pair. A thread has units of two vectors of VEC elements: of each half of what
// rotates (or passes), one. Pairs of half_split lie across the two, those of interleaved in one; with
// VEC 1 the unit of an interleaved pair is the pair itself.
#pragma once
#include "device/mem.cuh"

template <class C, int VEC_> struct RotateLayout {
    static constexpr int VEC = VEC_;
    static constexpr int ROTARY = C::TABLE ? 2 * C::TABLE_DIM : C::TABLE_DIM;
    static constexpr int PASSING = C::HEAD_DIM - ROTARY;
    static constexpr int UNITS = C::HEAD_DIM / 2 / VEC, TURNED = ROTARY / 2 / VEC;
    static constexpr bool ACROSS = C::STYLE == 0 || VEC == 1;
    static constexpr bool ADJACENT = C::STYLE == 1 && VEC == 1;
    // Vectors of angles for a unit, and the elements of one: half as many for two elements in one.
    static constexpr bool PER_PAIR = !ACROSS && C::TABLE;
    static constexpr int ANGLES = ACROSS && C::TABLE ? 1 : 2;
    static constexpr int ANGLE_VEC = PER_PAIR ? VEC / 2 : VEC;

    static_assert(C::HEAD_DIM % 2 == 0 && ROTARY % 2 == 0 && ROTARY <= C::HEAD_DIM, "pairs");
    static_assert(ROTARY / 2 % VEC == 0 && PASSING / 2 % VEC == 0, "halves are whole vectors");

    // Column of vector k of a unit, in its head.
    TF_DEV constexpr int place(int unit, int k)
    {
        if (unit >= TURNED)
            return ROTARY + (unit - TURNED) * VEC + k * (PASSING / 2);
        return ADJACENT ? 2 * unit + k : unit * VEC + k * (ROTARY / 2);
    }

    // The unit whose first vector is at a column of the head.
    TF_DEV constexpr int unit_of(int column)
    {
        if (column >= ROTARY)
            return TURNED + (column - ROTARY) / VEC;
        return ADJACENT ? column / 2 : column / VEC;
    }

    // Column of vector k of its angles, in a row of a table.
    TF_DEV constexpr int angle_place(int unit, int k)
    {
        if (ACROSS && C::TABLE)
            return unit * VEC;
        return C::TABLE ? place(unit, k) / 2 : place(unit, k);
    }
};

// The angles of one unit, as loaded.
template <class C, int VEC> struct Angles {
    using R = RotateLayout<C, VEC>;
    using T = typename C::TABLE_DTYPE;
    static constexpr int WIDTH = max_int(C::ALIGN, (int)sizeof(T));

    Vec<T, R::ANGLE_VEC> cos[R::ANGLES], sin[R::ANGLES];

    // From the rows of the tables at the position.
    TF_METHOD void load(const T *cos_row, const T *sin_row, int unit)
    {
        TF_UNROLL
        for (int k = 0; k < R::ANGLES; k++) {
            const int at = R::angle_place(unit, k);
            cos[k] = ld_vec<LD_CONST, WIDTH, T, R::ANGLE_VEC>(cos_row + at);
            sin[k] = ld_vec<LD_CONST, WIDTH, T, R::ANGLE_VEC>(sin_row + at);
        }
    }

    TF_METHOD void turn(float (&x)[2][VEC]) const
    {
        float c[2][R::ANGLE_VEC], s[2][R::ANGLE_VEC];
        TF_UNROLL
        for (int k = 0; k < 2; k++) {
            vec_unpack(cos[k % R::ANGLES], c[k]);
            vec_unpack(sin[k % R::ANGLES], s[k]);
        }
        TF_UNROLL
        for (int i = 0; i < VEC; i++) {
            // Pair i of the unit: elements a and b of its vectors ka and kb.
            const int ka = R::ACROSS ? 0 : i / (VEC / 2), kb = R::ACROSS ? 1 : ka;
            const int a = R::ACROSS ? i : 2 * i % VEC, b = R::ACROSS ? i : a + 1;
            const int angle_a = R::PER_PAIR ? a / 2 : a, angle_b = R::PER_PAIR ? a / 2 : b;
            const float first = x[ka][a], second = x[kb][b];
            x[ka][a] = first * c[ka][angle_a] - second * s[ka][angle_a];
            x[kb][b] = second * c[kb][angle_b] + first * s[kb][angle_b];
        }
    }
};

// ---- everything at run time: generic variants, whose parameters name formats alike ----

TF_DEV float rotate_load(const void *table, int dtype, long long i)
{
    if (dtype == DTYPE_F32)
        return ld_elem<LD_CONST>(static_cast<const float *>(table) + i);
    if (dtype == DTYPE_F16)
        return to_f32(ld_elem<LD_CONST>(static_cast<const f16 *>(table) + i));
    return to_f32(ld_elem<LD_CONST>(static_cast<const bf16 *>(table) + i));
}

// A position or slot.
TF_DEV long long rotate_index(const void *indices, int dtype, long long i)
{
    if (dtype == DTYPE_I32)
        return ld_elem<LD_CONST>(static_cast<const int *>(indices) + i);
    return ld_elem<LD_CONST>(static_cast<const long long *>(indices) + i);
}

// Where the elements of a pair stand in their head, and their angles in a row of a table.
struct PairAt {
    int a, b, angle_a, angle_b;
};

// Pairs from rotary_dim / 2 on are what passes, two by two.
template <class P> TF_DEV PairAt pair_at(const P &p, int pair)
{
    const int half = p.rotary_dim / 2;
    if (pair >= half)
        return {2 * pair, 2 * pair + 1, 0, 0};
    const int a = p.interleaved ? 2 * pair : pair, b = p.interleaved ? a + 1 : a + half;
    return {a, b, p.half ? pair : a, p.half ? pair : b};
}

template <class P>
TF_DEV void pair_turn(const P &p, const PairAt &at, long long position, float &a, float &b)
{
    const long long cos = position * p.cos_stride, sin = position * p.sin_stride;
    const float first = a, second = b;
    a = first * rotate_load(p.cos, p.table_dtype, cos + at.angle_a) -
        second * rotate_load(p.sin, p.table_dtype, sin + at.angle_a);
    b = second * rotate_load(p.cos, p.table_dtype, cos + at.angle_b) +
        first * rotate_load(p.sin, p.table_dtype, sin + at.angle_b);
}
