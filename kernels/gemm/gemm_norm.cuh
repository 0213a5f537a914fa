// gemm_norm.cuh: RMSNorm of the rows of x on their way to the tensor cores.
//
//   x * norm_weight / sqrt(mean(x^2) + eps), times weightᵀ          (Zhang & Sennrich 2019)
//
// The factor of a row commutes with the product: it multiplies the sums. What is left for a tile of x is
// to add up its squares and to multiply it by norm_weight, rounded to x's dtype. Without SWAP consumers do
// that in registers (gemm_held.cuh). With it the producers' other three warps do it, in shared memory
// before wgmma reads it, ahead of the consumers: a chain of waits, so that each warp takes stages of its
// own where a tile is short.
//
// Synchronisation: ready[s] completes when a stage's x tiles are multiplied in place; rows_full when the
// sums of squares of a tile are there, rows_empty when the consumers have taken them.
#pragma once
#include "device/reduce.cuh"
#include "device/vec.cuh"
#include "gemm/gemm_load.cuh"
#include "gemm/gemm_norm_part.cuh"

template <class C> struct GemmNorm {
    using L = GemmLayout<C>;
    using T = typename L::TX;
    using Ring = GemmRing<C>;
    using Cursor = GemmCursor<C>;
    using Sixteen = Vec<T, 8>;
    static constexpr int WARPS = 3, TEAMS = L::NORM_TEAMS, TEAM = L::NORM_TEAM;
    static constexpr int LANES = 8; // of a row
    static constexpr int AT_ONCE = 32 * TEAM / LANES, EACH = ceil_div(L::X_ROWS, AT_ONCE);
    static constexpr int OWNERS = L::WARPGROUP * C::CONSUMERS;
    enum { TOTALS_DONE = 8 }; // a named barrier beyond the store buffers'

    TF_DEV MBar *ready(u32 stage)
    {
        return smem_at<MBar>(L::NORM_BARRIER_AT) + stage;
    }

    TF_DEV MBar *rows_full()
    {
        return smem_at<MBar>(L::NORM_BARRIER_AT) + C::STAGES;
    }

    TF_DEV MBar *rows_empty()
    {
        return smem_at<MBar>(L::NORM_BARRIER_AT) + C::STAGES + 1;
    }

    // Sums of squares of a tile's rows, by team; of a split sum behind them those of all blocks.
    TF_DEV float *squares()
    {
        return smem_at<float>(L::SCALES_AT);
    }

    TF_DEV void init()
    {
        if constexpr (L::NORM_WARPS) {
            for (u32 s = 0; s < C::STAGES; s++)
                mbar_init(ready(s), TEAM);
            mbar_init(rows_full(), WARPS);
            mbar_init(rows_empty(), 4 * C::CONSUMERS);
        }
    }

    // ---- the warps that normalise ----

    TF_DEV int team()
    {
        return (thread_index() / 32 - 1) / TEAM;
    }

    // Of this thread in its team.
    TF_DEV int maker()
    {
        return (thread_index() - 32) % (32 * TEAM);
    }

    // Eight elements of norm_weight from k on, zeros behind its end.
    TF_DEV Sixteen fetch(const gemm_params &p, int k)
    {
        if constexpr (L::WEIGHED_IN_PLACE)
            if (k < C::K)
                return ld_vec<LD_KEEP, 16, T, 8>(
                    static_cast<const T *>(gemm_norm(p).norm_weight) + k);
        return vec_zero<T, 8>();
    }

    TF_DEV Sixteen *place(u8 *tile, int i)
    {
        const int row = maker() / LANES + AT_ONCE * i;
        return row < L::X_ROWS
                   ? reinterpret_cast<Sixteen *>(
                         tile + gemm_swizzle<128>(row * L::ROW_BYTES + maker() % LANES * 16))
                   : nullptr;
    }

    TF_DEV float square_sum(const Sixteen &value)
    {
        float x[8], sum = 0;
        vec_unpack(value, x);
        TF_UNROLL
        for (int e = 0; e < 8; e++)
            sum += x[e] * x[e];
        return sum;
    }

    // All loads of a batch before its first store: they may alias, for all the compiler knows.
    TF_DEV void normalise(u8 *tile, const Sixteen &weight, float (&part)[EACH])
    {
        constexpr int BATCH = min_int(EACH, 6);
        TF_UNROLL
        for (int first = 0; first < EACH; first += BATCH) {
            Sixteen value[BATCH];
            TF_UNROLL
            for (int i = 0; i < BATCH; i++) {
                const Sixteen *at = first + i < EACH ? place(tile, first + i) : nullptr;
                value[i] = at ? *at : vec_zero<T, 8>();
            }
            TF_UNROLL
            for (int i = 0; i < min_int(BATCH, EACH - first); i++) {
                part[first + i] += square_sum(value[i]);
                if constexpr (L::WEIGHED_IN_PLACE) {
                    TF_UNROLL
                    for (int e = 0; e < value[i].WORDS; e++)
                        value[i].w[e] = mul2<T>(value[i].w[e], weight.w[e]);
                    if (Sixteen *at = place(tile, first + i))
                        *at = value[i];
                }
            }
        }
    }

    TF_DEV void arrive(MBar *bar)
    {
        warp_sync();
        if (thread_index() % 32 == 0)
            mbar_arrive(bar);
    }

    TF_DEV void leave(const float (&part)[EACH])
    {
        TF_UNROLL
        for (int i = 0; i < EACH; i++) {
            const int row = maker() / LANES + AT_ONCE * i;
            const float sum = lanes_sum<LANES>(part[i]);
            if (maker() % LANES == 0 && row < L::X_ROWS)
                squares()[team() * L::X_ROWS + row] = sum;
        }
    }

    TF_DEV void fetch_stage(const gemm_params &p, int k, Sixteen (&weight)[C::DEPTH])
    {
        TF_UNROLL
        for (int d = 0; d < C::DEPTH; d++)
            weight[d] = fetch(p, k * L::BLOCK_K + d * 64 + maker() % LANES * 8);
    }

    TF_DEV void stage(const GemmTiles<C> &tiles, const Cursor &cursor,
        const Sixteen (&weight)[C::DEPTH], float (&part)[EACH])
    {
        mbar_wait(Ring::full(cursor.stage), cursor.parity);
        TF_UNROLL
        for (int d = 0; d < C::DEPTH; d++)
            normalise(C::SWAP ? Ring::c_tile(cursor.stage, d) : Ring::r_tile(cursor.stage, d),
                weight[d], part);
        if constexpr (L::WEIGHED_IN_PLACE) {
            shared_fence_async();
            arrive(ready(cursor.stage));
        } else {
            warp_sync();
            Ring::release_by(thread_index() % 32, Ring::empty(cursor.stage), tiles.rank_m, tiles.rank_n);
        }
    }

    // A place in the ring is always the same team's: a wait names only the parity of a phase, which is
    // right for who saw the phase before. Stages from one of its places to the next.
    TF_DEV int next_own(int stage)
    {
        return stage + TEAMS < C::STAGES ? TEAMS : C::STAGES - stage + team();
    }

    TF_DEV void produce(const gemm_params &p)
    {
        const GemmKRange<C> range = GemmKRange<C>::mine();
        const GemmTiles<C> tiles = GemmTiles<C>::start(p);
        const int last = range.first + range.count;
        Cursor start = {0, 0}; // of a tile
        u32 phase = 0;
        for (int index = tiles.next; index < tiles.count; index += tiles.step) {
            float part[EACH] = {};
            Sixteen next[C::DEPTH]; // norm_weight of the stage that follows: L2 is far
            Cursor cursor = start;
            int k = range.first;
            for (; (int)cursor.stage % TEAMS != team(); k++)
                Cursor::advance(cursor);
            Cursor::skip(start, (u32)range.count);
            fetch_stage(p, k, next);
            _Pragma("unroll 1") while (k < last)
            {
                const int step = next_own((int)cursor.stage);
                Sixteen weight[C::DEPTH];
                TF_UNROLL
                for (int d = 0; d < C::DEPTH; d++)
                    weight[d] = next[d];
                fetch_stage(p, k + step, next);
                stage(tiles, cursor, weight, part);
                Cursor::skip(cursor, (u32)step);
                k += step;
            }
            mbar_wait(rows_empty(), phase ^ 1);
            leave(part);
            arrive(rows_full());
            phase ^= 1;
        }
    }

    // ---- the consumers ----

    TF_DEV void wait(const Cursor &cursor)
    {
        if constexpr (L::WEIGHED_IN_PLACE)
            mbar_wait(ready(cursor.stage), cursor.parity);
    }

    TF_DEV float factor_of(const gemm_params &p, float sum)
    {
        return rsqrt_approx(sum * (1.0f / (float)C::K) + gemm_norm(p).eps);
    }

    template <int PARTS> TF_DEV float factor(const gemm_params &p, const float *sums, int row)
    {
        float sum = sums[row];
        TF_UNROLL
        for (int i = 1; i < PARTS; i++)
            sum += sums[i * L::X_ROWS + row];
        return factor_of(p, sum);
    }

    // `sums` in PARTS parts. `first`: the tile's row of x that a consumer's first sum belongs to.
    template <int PARTS, int REGS>
    TF_DEV void apply(
        const gemm_params &p, const float *sums, int first, float (&acc)[L::SLABS][REGS])
    {
        const int thread = thread_index() % L::WARPGROUP, lane = thread % 32;
        constexpr int LINES = C::SWAP ? REGS / 2 : 2 * L::SLABS; // rows of x of a thread
        constexpr int COUNT = L::SLABS * REGS / LINES;
        TF_UNROLL
        for (int line = 0; line < LINES; line++) {
            const float f = factor<PARTS>(p, sums,
                first + (C::SWAP ? line / 2 * 8 + lane % 4 * 2 + line % 2
                                 : line / 2 * 64 + thread / 32 * 16 + lane / 4 + line % 2 * 8));
            TF_UNROLL
            for (int i = 0; i < COUNT; i++) {
                if constexpr (C::SWAP)
                    acc[i / 2][line / 2 * 4 + i % 2 * 2 + line % 2] *= f;
                else
                    acc[line / 2][i / 2 * 4 + line % 2 * 2 + i % 2] *= f;
            }
        }
    }

    TF_DEV void apply_next(
        const gemm_params &p, int row, float (&acc)[L::SLABS][L::REGS], u32 &phase)
    {
        mbar_wait(rows_full(), phase);
        apply<TEAMS>(p, squares(), C::SWAP ? 0 : row, acc);
        arrive(rows_empty());
        phase ^= 1;
    }

    // Behind the cluster's barrier, when every block has left its sums. `first`: this block's columns.
    TF_DEV void apply_split(
        const gemm_params &p, int row, int first, float (&acc)[L::SLABS][L::OUT_REGS])
    {
        float *totals = squares() + TEAMS * L::X_ROWS;
        const int own = cluster_rank() % L::RECTANGLE;
        for (int i = 4 * (thread_index() - L::WARPGROUP); i < L::X_ROWS; i += 4 * OWNERS) {
            float sum[4] = {};
            for (int at = 0; at < C::SPLIT_K * TEAMS; at++) {
                float part[4];
                cluster_load(
                    squares() + at % TEAMS * L::X_ROWS + i, at / TEAMS * L::RECTANGLE + own, part);
                TF_UNROLL
                for (int e = 0; e < 4; e++)
                    sum[e] += part[e];
            }
            TF_UNROLL
            for (int e = 0; e < 4; e++)
                totals[i + e] = sum[e];
        }
        named_sync(TOTALS_DONE, OWNERS);
        apply<1>(p, totals, C::SWAP ? first : row, acc);
    }
};
