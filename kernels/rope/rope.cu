// rope.cu: rotary embedding of q and k, in place or not, and copies of rotated k and of v into a
// contiguous or paged cache, in one launch. Serves rope.
//
// q, k, v are [batch, seq, heads, head_dim] with any strides but the innermost; caches are
// [num_blocks, block_size, heads, head_dim]. The position of a token is its place in seq, or as an
// index tensor says; its slot s is offset s % block_size of block s / block_size, and a slot outside
// of the cache is not written. Arithmetic is fp32 and rounded once. Formula and units: rotate.cuh.
//
// A token's heads are dealt to slots of HEADS heads, of q, then k, then v. A thread has one unit of
// every head of a slot: it loads the unit's angles once and keeps the slot's loads in flight
// together. A block has THREADS / UNITS slots; SLOTS blocks share a tile of that many tokens.
//
// Tunables:
//   VEC_BYTES   bytes of one access, at most the alignment.
//   THREADS     of a block.
//   HEADS       heads of a slot. More: fewer loads of angles, more bytes in flight a thread, more
//               registers; fewer threads, which a single token feels.
//   TOKENS_NEXT what the neighbours of a slot are: 0 the token's other slots, which share its angles;
//               1 the same heads of other tokens, which lie side by side in [batch, heads, seq, dim].
//   STORE_HINT  0 default, 1 streaming.
//   LOAD_HINT   0 past L1, 1 and kept longest by L2, which then writes back sooner what was stored: 5% of
//               44 us.
//
// Shared memory: none. Synchronisation: none: a thread reads what it writes, and nobody else does.
// Known weakness: head_dim and rotary_dim whose halves are not whole 16-byte vectors, and unaligned
// heads, take narrower accesses.
#include "device/pdl.cuh"
#include "device/thread.cuh"
#include "rope/rope_params.h"
#include "rope/rotate.cuh"

// ---- where a token is ----

struct RopeToken {
    u32 batch, seq;
};

TF_DEV RopeToken rope_token(const rope_params &p, u32 token)
{
    if (p.batch == 1) // a division is slow, and a server's usual form needs none
        return {0, token};
    return {token / p.seq, token % p.seq};
}

TF_DEV long long rope_start(const long long (&strides)[3], u32 outer, u32 inner)
{
    return outer * strides[0] + inner * strides[1];
}

// Start of the token's place in a cache; -1: none.
TF_DEV long long rope_cache_start(const rope_params &p, const rope_heads &heads, long long slot)
{
    if (slot < 0 || slot >= p.cache_slots)
        return -1;
    return rope_start(heads.cache_strides, (u32)slot / p.block_size, (u32)slot % p.block_size);
}

// ---- the tuned kernel ----

template <class C> class RopeKernel {
    using T = typename C::DTYPE;
    using TABLE = typename C::TABLE_DTYPE;
    static constexpr int VEC = C::VEC_BYTES / (int)sizeof(T);
    using R = RotateLayout<C, VEC>;
    static constexpr int HEADS = C::HEADS;
    static constexpr u32 UNITS = R::UNITS, GROUPS = C::THREADS / UNITS;
    static constexpr u32 Q_SLOTS = ceil_div(C::Q_HEADS, HEADS);
    static constexpr u32 K_SLOTS = C::HAS_K ? ceil_div(C::KV_HEADS, HEADS) : 0;
    static constexpr u32 V_SLOTS = C::HAS_V ? ceil_div(C::KV_HEADS, HEADS) : 0;
    static constexpr u32 SLOTS = Q_SLOTS + K_SLOTS + V_SLOTS;
    static constexpr bool ALWAYS_OUT = !C::HAS_V && C::HAS_K == C::HAS_K_OUT;
    static constexpr bool WHOLE = C::Q_HEADS % HEADS == 0 && C::KV_HEADS % HEADS == 0;
    static constexpr int ST = C::STORE_HINT ? ST_STREAM : ST_KEEP;
    static constexpr int LD = C::LOAD_HINT ? LD_LAST : LD_ONCE;

    static_assert(C::VEC_BYTES <= max_int(C::ALIGN, (int)sizeof(T)), "aligned accesses");
    static_assert(GROUPS >= 1 && C::THREADS <= 1024, "a block holds a head");

    const rope_params &p;
    int tensor, first, last; // heads first, first + HEADS, ... of those below last
    int unit;
    Vec<T, VEC> x[HEADS][2];

    TF_METHOD void choose(u32 slot)
    {
        tensor = slot < Q_SLOTS             ? ROPE_PARAMS_Q
                 : slot < Q_SLOTS + K_SLOTS ? ROPE_PARAMS_K
                                            : ROPE_PARAMS_V;
        const u32 before = tensor == ROPE_PARAMS_Q   ? 0
                           : tensor == ROPE_PARAMS_K ? Q_SLOTS
                                                     : Q_SLOTS + K_SLOTS;
        first = (int)(slot - before) * HEADS;
        last = tensor == ROPE_PARAMS_Q ? C::Q_HEADS : C::KV_HEADS;
    }

    template <class I>
    static TF_METHOD long long index(
        const void *indices, const long long (&strides)[2], const RopeToken &token)
    {
        return ld_elem<LD_CONST>(
            static_cast<const I *>(indices) + token.batch * strides[0] + token.seq * strides[1]);
    }

    TF_METHOD bool owns(int j) const
    {
        return WHOLE || first + j < last;
    }

    TF_METHOD void load(const rope_heads &heads, long long start)
    {
        const T *from = static_cast<const T *>(heads.from) + start + first * heads.from_strides[2];
        TF_UNROLL
        for (int j = 0; j < HEADS; j++)
            TF_UNROLL
        for (int k = 0; k < 2; k++)
            if (owns(j))
                x[j][k] = ld_vec<LD, C::VEC_BYTES, T, VEC>(
                    from + j * heads.from_strides[2] + R::place(unit, k));
    }

    TF_METHOD void turn(const Angles<C, VEC> &angles)
    {
        TF_UNROLL
        for (int j = 0; j < HEADS; j++) {
            float f[2][VEC];
            TF_UNROLL
            for (int k = 0; k < 2; k++)
                vec_unpack(x[j][k], f[k]);
            angles.turn(f);
            TF_UNROLL
            for (int k = 0; k < 2; k++)
                x[j][k] = vec_pack<T, VEC>(f[k]);
        }
    }

    TF_METHOD void store(T *to, long long head_stride) const
    {
        TF_UNROLL
        for (int j = 0; j < HEADS; j++)
            TF_UNROLL
        for (int k = 0; k < 2; k++)
            if (owns(j))
                st_vec<ST, C::VEC_BYTES, T, VEC>(
                    to + (first + j) * head_stride + R::place(unit, k), x[j][k]);
    }

    // The unit's heads of one slot of a token.
    TF_METHOD void move(u32 token_index)
    {
        const rope_heads &heads = p.heads[tensor];
        const RopeToken token = rope_token(p, token_index);
        const bool turns = tensor != ROPE_PARAMS_V && unit < R::TURNED;
        Angles<C, VEC> angles;
        long long position = token.seq, slot = -1;
        if constexpr (C::HAS_POSITIONS)
            position = index<typename C::POSITION_DTYPE>(p.positions, p.positions_strides, token);
        if constexpr (C::HAS_SLOTS)
            slot = index<typename C::SLOT_DTYPE>(p.slots, p.slots_strides, token);
        load(heads, rope_start(heads.from_strides, token.batch, token.seq));
        if (turns) {
            angles.load(static_cast<const TABLE *>(p.cos) + position * p.cos_stride,
                static_cast<const TABLE *>(p.sin) + position * p.sin_stride, unit);
            turn(angles);
        }
        if (ALWAYS_OUT || heads.out)
            store(
                static_cast<T *>(heads.out) + rope_start(heads.out_strides, token.batch, token.seq),
                heads.out_strides[2]);
        if constexpr (C::HAS_SLOTS) {
            const long long start = heads.cache ? rope_cache_start(p, heads, slot) : -1;
            if (start >= 0)
                store(static_cast<T *>(heads.cache) + start, heads.cache_strides[2]);
        }
    }

  public:
    TF_METHOD RopeKernel(const rope_params &params) : p(params) {}

    TF_METHOD void run()
    {
        pdl_begin<C>();
        const u32 tile = block_index() / SLOTS, part = block_index() % SLOTS;
        const u32 group = (u32)thread_index() / UNITS;
        const u32 local = C::TOKENS_NEXT ? part : part * GROUPS + group; // of the tile's slots
        const u32 token = tile * GROUPS + (C::TOKENS_NEXT ? group : local / SLOTS);
        if (group >= GROUPS || token >= p.tokens)
            return;
        unit = (int)((u32)thread_index() % UNITS);
        choose(local % SLOTS);
        move(token);
    }
};

template <class C> TF_DEV void rope(const rope_params &p)
{
    RopeKernel<C>(p).run();
}

// ---- the generic variant: a block takes a token a turn, a thread a pair ----

template <class T> class RopeGeneric {
    const rope_params &p;
    RopeToken token;
    long long position, slot;

    TF_METHOD void write(
        const rope_heads &heads, int head, const PairAt &at, T first, T second) const
    {
        T *const out = static_cast<T *>(heads.out);
        T *const cache = static_cast<T *>(heads.cache);
        if (out) {
            T *const to = out + rope_start(heads.out_strides, token.batch, token.seq) +
                          head * heads.out_strides[2];
            st_elem(to + at.a, first);
            st_elem(to + at.b, second);
        }
        const long long start = cache ? rope_cache_start(p, heads, slot) : -1;
        if (start >= 0) {
            T *const to = cache + start + head * heads.cache_strides[2];
            st_elem(to + at.a, first);
            st_elem(to + at.b, second);
        }
    }

    TF_METHOD void move_pair(const rope_heads &heads, int head, int pair, bool turns) const
    {
        const PairAt at = pair_at(p, pair);
        const T *const from = static_cast<const T *>(heads.from) +
                              rope_start(heads.from_strides, token.batch, token.seq) +
                              head * heads.from_strides[2];
        T first = ld_elem<LD_KEEP>(from + at.a), second = ld_elem<LD_KEEP>(from + at.b);
        if (turns && pair < p.rotary_dim / 2) {
            float a = to_f32(first), b = to_f32(second);
            pair_turn(p, at, position, a, b);
            first = from_f32<T>(a);
            second = from_f32<T>(b);
        }
        write(heads, head, at, first, second);
    }

  public:
    TF_METHOD RopeGeneric(const rope_params &params) : p(params) {}

    TF_METHOD void run_token(u32 index, int thread, int threads)
    {
        token = rope_token(p, index);
        position = token.seq;
        slot = -1;
        if (p.positions)
            position = rotate_index(p.positions, p.position_dtype,
                token.batch * p.positions_strides[0] + token.seq * p.positions_strides[1]);
        if (p.slots)
            slot = rotate_index(p.slots, p.slot_dtype,
                token.batch * p.slots_strides[0] + token.seq * p.slots_strides[1]);
        const int pairs = p.head_dim / 2;
        for (int t = 0; t < ROPE_PARAMS_TENSORS; t++)
            for (int i = thread; i < p.n_heads[t] * pairs; i += threads)
                move_pair(p.heads[t], i / pairs, i % pairs, t != ROPE_PARAMS_V);
    }
};

template <class C, class T> TF_DEV void rope_generic_dtype(const rope_params &p)
{
    RopeGeneric<T> kernel(p);
    for (u32 token = block_index(); token < p.tokens; token += block_count())
        kernel.run_token(token, thread_index(), C::THREADS);
}

template <class C> TF_DEV void rope_generic(const rope_params &p)
{
    pdl_begin<C>();
    if (p.dtype == DTYPE_F32)
        rope_generic_dtype<C, float>(p);
    else if (p.dtype == DTYPE_F16)
        rope_generic_dtype<C, f16>(p);
    else
        rope_generic_dtype<C, bf16>(p);
}
