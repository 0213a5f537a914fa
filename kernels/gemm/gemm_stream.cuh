// gemm_stream.cuh: matrix products of few tokens: the weight streams past them once (sm_80 and later).
//
// The memory bus decides. All tokens of a tile stay in shared memory; rows of weight come by cp.async
// and go to the tensor cores (mma.sync) as the operand with 16 rows, tokens as that with 8 columns.
// The order of K within a product is free as long as both operands have it: a lane's sixteen bytes of a
// row are its parts of two products, so that each lane reads what it copied itself, and
// the ring needs no barrier. Tunables:
//   BLOCK_M    rows of weight in a tile. 32: x is read once for two products.
//   BLOCK_N    tokens of a tile.
//   STAGES     of a warp's ring: bytes in flight.
//   CONSUMERS  groups of four warps, which share a tile's sum.
//
// Shared memory: x (gemm_tokens.cuh); sums of a tile by warp, twice; sums of squares; the rings.
// Synchronisation: a block barrier when the tokens are there, and one a tile, when each warp has left
// its sums; two sets of them are used in turn. The sums of the warps are added up in order.
//
// A constant weight is under way before the kernel before this one has ended: half of a multiprocessor's
// shared memory is left for the blocks of the next one, which do so in their turn.
#pragma once
#include "device/cp_async.cuh"
#include "device/mma.cuh"
#include "device/pdl.cuh"
#include "gemm/gemm_math.cuh"
#include "gemm/gemm_tokens.cuh"

template <class C> struct GemmStream {
    using L = StreamLayout<C>;
    using Tokens = GemmTokens<C>;
    using Parts = GemmParts<C>;
    using Sixteen = typename L::Sixteen;
    using Acc = float[L::ROW_GROUPS][L::TOKEN_GROUPS][4];

    // A tile of rows and one of the parts of K that this warp has.
    struct Place {
        int tile, step;

        TF_DEV void advance(Place &at)
        {
            if (++at.step == L::EACH) {
                at.step = 0;
                at.tile += (int)block_count();
            }
        }

        TF_DEV int chunk(const Place &at)
        {
            return at.step * L::WARPS + thread_index() / 32;
        }
    };

    // Piece: of eight rows and half a chunk of K.
    TF_DEV Sixteen *slot(int stage, int piece)
    {
        const int warp = thread_index() / 32, lane = thread_index() % 32;
        return smem_at<Sixteen>(L::RING_AT) +
               ((warp * C::STAGES + stage) * L::PIECES + piece) * 32 + lane;
    }

    // Starts the copies of a stage; behind the last tile of none.
    TF_DEV void fetch(const gemm_params &p, const Place &at, int stage)
    {
        using T = typename L::TW;
        const GemmPart place = Parts::template find<C::BLOCK_M>(at.tile);
        const gemm_params &part = Parts::params(p, place.part);
        const int row = place.tile * C::BLOCK_M + thread_index() % 32 / 4;
        const int k = Place::chunk(at) * L::CHUNK + L::offset(0);
        const T *weight = static_cast<const T *>(part.weight);
        const T *from = weight + row * part.weight_stride + k;
        TF_UNROLL
        for (int piece = 0; piece < L::PIECES; piece++) {
            const int down = piece / 2 * 8, across = piece % 2 * (L::CHUNK / 2);
            const bool inside = at.tile < L::TILES &&
                                (L::WHOLE_ROWS || row + down < Parts::rows(part)) &&
                                (L::WHOLE_K || k + across < C::K);
            cp_async<16>(slot(stage, piece),
                inside ? from + down * part.weight_stride + across : weight, inside ? 16 : 0);
        }
        cp_async_commit();
    }

    // Products of sixteen bytes of K a lane: sixteen rows, eight tokens.
    TF_DEV void multiply(
        float (&acc)[4], const Sixteen &upper, const Sixteen &lower, const Sixteen &x)
    {
        TF_UNROLL
        for (int i = 0; i < 4; i += 2) {
            const u32 a[4] = {upper.w[i], lower.w[i], upper.w[i + 1], lower.w[i + 1]};
            const u32 b[2] = {x.w[i], x.w[i + 1]};
            Mma<typename L::TX, typename L::TX>::add(acc, a, b);
        }
    }

    TF_DEV void multiply_stage(Acc &acc, int chunk, int stage)
    {
        TF_UNROLL
        for (int half = 0; half < 2; half++) {
            Sixteen x[L::TOKEN_GROUPS];
            TF_UNROLL
            for (int t = 0; t < L::TOKEN_GROUPS; t++)
                x[t] = Tokens::read(t, chunk, half);
            TF_UNROLL
            for (int g = 0; g < L::ROW_GROUPS; g++) {
                const Sixteen upper = *slot(stage, 4 * g + half);
                const Sixteen lower = *slot(stage, 4 * g + 2 + half);
                TF_UNROLL
                for (int t = 0; t < L::TOKEN_GROUPS; t++)
                    multiply(acc[g][t], upper, lower, x[t]);
            }
        }
    }

    // ---- results ----

    // A warp's sums of a tile, in the order of fragments: 128 of sixteen rows and eight tokens.
    TF_DEV float *sums(int turn, int warp)
    {
        return smem_at<float>(L::SUMS_AT) + ((turn & 1) * L::WARPS + warp) * L::TILE_SUMS;
    }

    TF_DEV void leave(const Acc &acc, int turn)
    {
        struct alignas(16) Four {
            float sum[4];
        };
        float *to = sums(turn, thread_index() / 32) + thread_index() % 32 * 4;
        TF_UNROLL
        for (int i = 0; i < L::ROW_GROUPS * L::TOKEN_GROUPS; i++) {
            const float(&a)[4] = acc[i / L::TOKEN_GROUPS][i % L::TOKEN_GROUPS];
            *reinterpret_cast<Four *>(to + 128 * i) = {{a[0], a[1], a[2], a[3]}};
        }
    }

    TF_DEV float total(int turn, int row, int token)
    {
        const int group = row / 16 * L::TOKEN_GROUPS + token / 8;
        const int at =
            group * 128 + (row % 8 * 4 + token % 8 / 2) * 4 + row / 8 % 2 * 2 + token % 2;
        float sum = 0;
        TF_UNROLL
        for (int warp = 0; warp < L::WARPS; warp++)
            sum += sums(turn, warp)[at];
        return sum;
    }

    TF_DEV void store(const gemm_params &p, int tile, int first_token, int turn)
    {
        using TO = typename C::OUT_DTYPE;
        const GemmPart place = Parts::template find<C::BLOCK_M>(tile);
        const gemm_params &part = Parts::params(p, place.part);
        for (int i = thread_index(); i < C::BLOCK_M * C::BLOCK_N; i += C::THREADS) {
            const int row = i % C::BLOCK_M, token = i / C::BLOCK_M;
            const int n = place.tile * C::BLOCK_M + row, m = first_token + token;
            if (n >= Parts::rows(part) || m >= p.m)
                continue;
            const float x = total(turn, row, token) * Tokens::factor(p, token);
            st_elem(static_cast<TO *>(part.out) + m * part.out_stride + n,
                from_f32<TO>(gemm_finish<C>(part, m, n, x)));
        }
    }

    // ---- the block ----

    // All rows of weight that are this block's, times the tokens from `first` on.
    TF_DEV void run(const gemm_params &p, int first)
    {
        Place at = {(int)block_index(), 0}, ahead = at;
        int stage = 0, turn = 0;
        for (int s = 0; s < C::STAGES - 1; s++, Place::advance(ahead))
            fetch(p, ahead, s);
        if constexpr (C::PDL && GemmConstant<C>::VALUE)
            pdl_wait();
        Tokens::load(p, first);
        block_sync(); // the tokens are there
        for (; at.tile < L::TILES; turn++) {
            Acc acc = {};
            const int tile = at.tile;
            _Pragma("unroll 1") for (int step = 0; step < L::EACH; step++)
            {
                cp_async_wait<C::STAGES - 2>();
                fetch(p, ahead, stage == 0 ? C::STAGES - 1 : stage - 1);
                Place::advance(ahead);
                if (L::WHOLE_STEPS || Place::chunk(at) < L::CHUNKS)
                    multiply_stage(acc, Place::chunk(at), stage);
                Place::advance(at);
                stage = stage + 1 == C::STAGES ? 0 : stage + 1;
            }
            leave(acc, turn);
            block_sync(); // the sums of all warps are there
            store(p, tile, first, turn);
        }
        cp_async_wait<0>(); // of what lies behind the last tile
    }
};

template <class C> TF_DEV void gemm_stream(const gemm_params &p)
{
    if constexpr (C::PDL) {
        pdl_launch();
        if (!GemmConstant<C>::VALUE)
            pdl_wait();
    }
    for (int first = 0; first < p.m; first += C::BLOCK_N) {
        if (first > 0)
            block_sync(); // nobody reads the tokens and sums before these any more
        GemmStream<C>::run(p, first);
    }
}
