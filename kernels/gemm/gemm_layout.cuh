// gemm_layout.cuh: everything that follows from a configuration of the wgmma kernel.
//
// The product is computed as D = R * Cᵀ, R the operand whose rows run down a tile (wgmma's A) and C
// the one whose rows run across it (wgmma's B): R = x and C = weight, or with SWAP the other way
// round, so that few tokens become a narrow tile.
//
// Shared memory, from a 1024-aligned base: STAGES times { DEPTH R tiles, DEPTH C tiles }, a tile's row
// 128 bytes of K, swizzled by 128; two store buffers for each consumer; block scales of the stages;
// barriers. With SPLIT_K > 1 the stages are
// overwritten with the partial tile at the end.
#pragma once
#include "device/core.cuh"
#include "device/num.cuh"
#include "gemm/gated_mlp_params.h"

template <bool B, class T, class F> struct GemmPick {
    using type = T;
};
template <class T, class F> struct GemmPick<false, T, F> {
    using type = F;
};

// The weight's dtype: its own parameter (fp8), else that of x.
template <class C, class = void> struct GemmWeight {
    using type = typename C::DTYPE;
};
template <class C> struct GemmWeight<C, decltype((void)sizeof(typename C::WEIGHT_DTYPE))> {
    using type = typename C::WEIGHT_DTYPE;
};

// PAIRED: two weights, gate and up, whose products of the same column are joined into one output
// (gemm_pair.cuh). Their rows share a tile: halves of it where it has weights across, so that both
// sums are columns of one wgmma, and alternating slabs where weights run down (SWAP).
template <class C, class = void> struct GemmPaired {
    static constexpr bool VALUE = false, SILU = false;
};
template <class C> struct GemmPaired<C, decltype((void)C::PAIRED)> {
    static constexpr bool VALUE = C::PAIRED;
    static constexpr bool SILU = C::ACT == GATED_MLP_BY_SILU && C::ACTIVATES == GATED_MLP_GATE;
};

// NORMED: rows of x are normalised on their way to the tensor cores (gemm_norm.cuh).
template <class C, class = void> struct GemmNormed {
    static constexpr bool VALUE = false, WEIGHTED = false;
};
template <class C> struct GemmNormed<C, decltype((void)C::NORMED)> {
    static constexpr bool VALUE = C::NORMED, WEIGHTED = C::HAS_NORM_WEIGHT;
};

// The weight is read before earlier kernels have ended, where it is known not to be theirs.
template <class C, class = void> struct GemmConstant {
    static constexpr bool VALUE = false;
};
template <class C> struct GemmConstant<C, decltype((void)C::WEIGHTS)> {
    static constexpr bool VALUE = C::WEIGHTS;
};

// ADD_NORMED: rows of the output are normalised, too (gemm_add_norm.cuh). EXCHANGE: by blocks that
// exchange the sums of their squares; else a block computes whole rows.
template <class C, class = void> struct GemmAddNormed {
    static constexpr bool VALUE = false, EXCHANGE = false;
};
template <class C> struct GemmAddNormed<C, decltype((void)C::ADD_NORMED)> {
    static constexpr bool VALUE = C::ADD_NORMED, EXCHANGE = C::EXCHANGE;
};

// Sums of rows of a tile in shared memory (gemm_row_sums.cuh): by the warps that share a row, then by
// the threads that hear of one; behind them COLUMNS other floats.
template <int ROWS_, int WARPS_, int THREADS_, int COLUMNS = 0> struct GemmRowSumsLayout {
    static constexpr int ROWS = ROWS_, WARPS = WARPS_, THREADS = THREADS_;
    static constexpr int SHARES = THREADS > ROWS ? THREADS / ROWS : 1;
    static constexpr int BYTES = 4 * (ROWS * (WARPS + SHARES) + COLUMNS);
};

template <class C> struct GemmLayout {
    using TX = typename C::DTYPE;
    using TW = typename GemmWeight<C>::type;
    using TO = typename C::OUT_DTYPE;
    using TR = typename GemmPick<C::SWAP, TW, TX>::type;
    using TC = typename GemmPick<C::SWAP, TX, TW>::type;

    static constexpr int ELEM = (int)sizeof(TX);
    static constexpr int ROW_BYTES = 128;                       // of K in a tile
    static constexpr int BLOCK_K = C::DEPTH * ROW_BYTES / ELEM; // of a stage
    static constexpr int K_STEPS = ROW_BYTES / 32;
    static constexpr int K_STAGES = ceil_div(C::K, BLOCK_K);            // that a sum takes
    static constexpr int SPLIT_STAGES = ceil_div(K_STAGES, C::SPLIT_K); // of one block of a split

    // A consumer is a warpgroup: all of them share a tile, or (PINGPONG) take turns at tiles.
    static constexpr int WARPGROUP = 128;
    static constexpr int THREADS = WARPGROUP * (C::CONSUMERS + 1);
    static constexpr int SHARERS = C::PINGPONG ? 1 : C::CONSUMERS;
    static constexpr int ROWS = C::BLOCK_M / SHARERS; // of a consumer
    static constexpr int SLABS = ROWS / 64;           // of 64 rows, one wgmma each
    static constexpr int REGS = C::BLOCK_N / 2;       // accumulators a slab

    // Rows and columns of the output: a pair's products are halves down or across.
    static constexpr bool PAIRED = GemmPaired<C>::VALUE;
    static constexpr int PAIR_ROWS = C::SWAP ? 64 : C::BLOCK_N / 2; // of one weight, side by side
    static constexpr int PAIR_DOWN = PAIRED && C::SWAP ? 2 : 1;
    static constexpr int PAIR_ACROSS = PAIRED && !C::SWAP ? 2 : 1;
    static constexpr int TILE_ROWS = C::BLOCK_M / PAIR_DOWN, TILE_COLS = C::BLOCK_N / PAIR_ACROSS;
    static constexpr int OUT_ROWS = ROWS / PAIR_DOWN, OUT_SLABS = SLABS / PAIR_DOWN; // a consumer's
    static constexpr int EPILOGUE_SCALING = PAIRED ? GEMM_UNSCALED : C::SCALING; // joined: scaled

    static constexpr bool BLOCK_SCALED = C::SCALING == GEMM_PER_BLOCK; // gemm_scales.cuh

    static constexpr bool EARLY = C::PDL && GemmConstant<C>::VALUE; // reads the weight, that is

    static constexpr bool MOVE_REGS = C::CONSUMERS > 1;
    // Where x is wgmma's A consumers normalise it on its way there, in registers (gemm_held.cuh); where it
    // is B the producers' idle warps do it in shared memory (gemm_norm.cuh).
    static constexpr bool NORMED = GemmNormed<C>::VALUE, WEIGHTED = GemmNormed<C>::WEIGHTED;
    static constexpr bool HELD = NORMED && !C::SWAP, NORM_WARPS = NORMED && C::SWAP;
    static constexpr bool WEIGHED_IN_PLACE = WEIGHTED && C::SWAP;
    // Sums of squares of the rows of x in a tile, and of a split their totals.
    static constexpr int X_ROWS = C::SWAP ? C::BLOCK_N : C::BLOCK_M;
    // Of warps, each with sums of its own: over which stages depends on the tiles before.
    static constexpr int NORM_TEAMS = X_ROWS > 64 || C::STAGES < 3 || C::BATCH_INVARIANT ? 1 : 3;
    static constexpr int NORM_TEAM = 3 / NORM_TEAMS; // warps of one
    static constexpr int NORM_PARTS = NORM_TEAMS + (C::SPLIT_K > 1);
    static constexpr int NORM_EACH = ceil_div(X_ROWS, 4 * NORM_TEAM); // rows of a thread
    // Together at most what 168 a thread (128 with four warpgroups) make; producers make norms, begin early,
    // bring residuals or scales or walk over parts of tiles. Who adds up squares has a sum for each row of its own.
    static constexpr bool MORE_TO_BRING =
        EARLY || BLOCK_SCALED || GemmAddNormed<C>::VALUE || C::SPLIT_TAIL;
    static constexpr int NORM_HELD = NORM_EACH + 8 * (C::DEPTH - 1); // norm_weight of a tile more, now and next
    static constexpr int NORM_WORK = NORM_HELD > 20   ? 112
                                     : NORM_HELD > 12 ? 80
                                     : NORM_HELD > 6  ? 64
                                                      : 32;
    static constexpr int PRODUCER_WORK = NORM_WARPS ? NORM_WORK : MORE_TO_BRING ? 16 : 0;
    static constexpr int MOVED_REGS = C::CONSUMERS == 2 ? PRODUCER_WORK : 0;
    static constexpr int PRODUCER_REGS = 40 + (C::SPLIT_TAIL ? 16 : MOVED_REGS);
    static constexpr int CONSUMER_REGS = (C::CONSUMERS == 2 ? 232 : 152) - MOVED_REGS / 2;

    // More sums than these are zeroed before each tile: else they stay in registers, which its end needs, until the
    // next one. The end of a pair needs the more the longer its activation is, and most for bytes, that of floats
    // their addresses.
    static constexpr bool BRIEF = ELEM == 2 && sizeof(TO) == 2 && GemmPaired<C>::SILU;
    static constexpr int PAIR_KEPT = sizeof(TO) == 1 ? 0 : BRIEF ? 160 : 152;
    static constexpr int KEPT = PAIRED ? PAIR_KEPT : sizeof(TO) == 4 ? 152 : 256;
    static constexpr bool CLEARED =
        GemmAddNormed<C>::VALUE || C::SPLIT_TAIL ||
        (SLABS * REGS > KEPT && (sizeof(TO) == 1 || (!C::SWAP && SLABS > 1)));

    // fp8 sums are kept short of digits by the tensor core: added up in fp32 every 128 of K.
    static constexpr bool PROMOTE = ELEM == 1 && !C::FAST_ACCUM;

    // Block scales (gemm_scales.cuh): rows of x in a tile, and blocks of weight that its rows lie in.
    static constexpr int SCALE_LINES = C::SWAP ? C::BLOCK_N : C::BLOCK_M;
    static constexpr int SCALE_BLOCKS =
        GEMM_GROUP_ELEMS % (C::SWAP ? C::BLOCK_M : C::BLOCK_N) ? 2 : 1;
    // Normalised outputs: a warp has whole rows of a tile, or with SWAP a part of each.
    static constexpr bool ADD_NORMED = GemmAddNormed<C>::VALUE;
    static constexpr int N_ROWS = C::SWAP ? TILE_ROWS : TILE_COLS; // of weight in a tile
    // gemm_tiles.cuh: of what two tiles have both make the same bits, and it is stored for itself; block
    // scales are brought for tiles in their places.
    static constexpr bool FULL_TILES =
        !C::SPLIT_TAIL && !ADD_NORMED && !BLOCK_SCALED && (!NORM_WARPS || NORM_TEAMS == 1);
    // gemm_tiles.cuh: nothing but products follows K, and which tiles come first may depend on M.
    static constexpr bool TURNS_ROUND = C::SPLIT_K == 1 && !C::SPLIT_TAIL && !NORMED &&
                                        !ADD_NORMED && !BLOCK_SCALED && !C::BATCH_INVARIANT;
    using RowSums =
        GemmRowSumsLayout<X_ROWS, C::SWAP ? 4 * C::CONSUMERS : 1, WARPGROUP * C::CONSUMERS, N_ROWS>;
    // Where x is held: of norm_weight what a stage needs, and factors of rows that tiles have in common.
    static constexpr int NORM_PART_BYTES = ROW_BYTES, KEPT_ROWS = GEMM_KEPT_ROWS;
    static constexpr int NORM_BYTES = HELD         ? C::STAGES * NORM_PART_BYTES + 4 * KEPT_ROWS
                                      : NORM_WARPS ? 4 * X_ROWS * NORM_PARTS
                                      : ADD_NORMED ? RowSums::BYTES
                                                   : 0;
    static constexpr int SCALE_BYTES =
        BLOCK_SCALED ? 4 * C::STAGES * C::DEPTH * (SCALE_LINES + GEMM_SCALE_PLACES) : NORM_BYTES;
    static constexpr int NORM_BARRIERS = NORM_WARPS ? C::STAGES + 2 : 0;

    // Partial sums at a time: two where they fit in the registers, beside the factors of block scales. What is in
    // flight at a loop's edge is waited for, so then it takes several stages (docs/notes/gemm.md, section 12).
    static constexpr int MOST_SUMS = C::CONSUMERS > 2            ? 96
                                     : BLOCK_SCALED && C::SWAP ? 160
                                     : BLOCK_SCALED              ? 192
                                     : C::SWAP                   ? (sizeof(TO) == 4 ? 160 : 204)
                                                                 : 216;
    static constexpr int UNITS = C::DEPTH * SLABS; // partial sums of a stage
    static constexpr int PARTS = (SLABS + 2) * REGS <= MOST_SUMS ? 2 : 1;
    static constexpr int RUN = PARTS == 2 ? max_int(4 / UNITS, 1) : 1; // stages
    // Stages that every part of a sum has, or 1 where they differ.
    static constexpr int EACH = C::SPLIT_TAIL || K_STAGES % C::SPLIT_K ? 1 : SPLIT_STAGES;

    static constexpr int R_BYTES = C::BLOCK_M * ROW_BYTES;
    static constexpr int C_BYTES = C::BLOCK_N * ROW_BYTES;
    static constexpr int STAGE_BYTES = C::DEPTH * (R_BYTES + C_BYTES);

    // Columns of a tile that a block stores: all, or its part of a split sum.
    static constexpr int OUT_COLS = C::SPLIT_K > 1 ? 8 * ceil_div(TILE_COLS / 8, C::SPLIT_K)
                                                   : TILE_COLS;
    static constexpr int OUT_REGS = OUT_COLS / 2;

    // A store buffer is a box of the output: BOX_ROWS rows of BOX_BYTES, swizzled like the map says.
    static constexpr int OUT_ELEM = (int)sizeof(TO);
    // Columns that would make boxes narrow; they are stored from registers.
    static constexpr bool WHOLE_COLS = !C::SWAP && OUT_COLS == C::BLOCK_N;
    static constexpr int EDGE_COLS = WHOLE_COLS && OUT_COLS > 64 ? OUT_COLS % 16 : 0;
    static constexpr int LINE_COLS = C::SWAP ? 64 : OUT_COLS - EDGE_COLS;
    static constexpr int LINE_BYTES = LINE_COLS * OUT_ELEM; // of a slab, along n
    static constexpr int BOX_BYTES = LINE_BYTES % 128 == 0 ? 128 : LINE_BYTES % 64 == 0 ? 64 : 32;
    static constexpr int BOX_COLS = BOX_BYTES / OUT_ELEM;
    static constexpr int LINE_BOXES = LINE_BYTES / BOX_BYTES; // side by side along n
    // SWAP: of the tokens across, in two boxes where one would take the room of a stage.
    static constexpr int TOKEN_BOXES = C::SWAP && OUT_COLS > 128 && OUT_COLS % 16 == 0 ? 2 : 1;
    static constexpr int BOX_ROWS = C::SWAP ? OUT_COLS / TOKEN_BOXES : 64;
    static constexpr int BOXES = LINE_BOXES * TOKEN_BOXES; // of a slab
    static constexpr int BUFFER_BYTES = ceil_div(BOX_ROWS * BOX_BYTES, 1024) * 1024;
    static constexpr int BUFFERS = 2;

    static constexpr int BUFFER_AT = C::STAGES * STAGE_BYTES;
    static constexpr int PARTIAL_BYTES = C::SPLIT_K > 1 ? C::BLOCK_M *C::BLOCK_N * 4 : 0;
    static constexpr int SCALES_AT = BUFFER_AT + C::CONSUMERS * BUFFERS * BUFFER_BYTES;
    static constexpr int KEPT_AT = SCALES_AT + C::STAGES * NORM_PART_BYTES;
    static constexpr int BARRIER_AT = SCALES_AT + SCALE_BYTES;
    static constexpr int NORM_BARRIER_AT = BARRIER_AT + 2 * 8 * C::STAGES;
    static constexpr int SMEM_BYTES = NORM_BARRIER_AT + 8 * NORM_BARRIERS;

    // Blocks of a cluster: a rectangle side by side in the output for each part of a split sum.
    static constexpr int RECTANGLE = C::CLUSTER_M * C::CLUSTER_N;
    static constexpr int PEERS = C::CLUSTER_M + C::CLUSTER_N - 1; // that share a tile with a block
    // Of a block, who lets go of a stage: consumers (each of their warps, where they read x
    // or scales themselves), and the warps that only add up squares.
    static constexpr int READERS = (HELD || BLOCK_SCALED ? 4 : 1) * SHARERS +
                                   (NORM_WARPS && !WEIGHED_IN_PLACE ? NORM_TEAM : 0);
    static constexpr bool MULTICAST = PEERS > 1;

    static_assert(sizeof(TX) == sizeof(TW), "one element size: one step of K");
    static_assert(C::ALIGN >= 16, "rows of operands and output start at multiples of 16 bytes");
    static_assert(C::THREADS == THREADS, "a producer and the consumers");
    static_assert(C::CONSUMERS >= 1 && C::CONSUMERS <= 3, "consumers");
    static_assert(!C::PINGPONG || C::CONSUMERS == 2, "two take turns");
    static_assert(ROWS % 64 == 0 && C::BLOCK_M % SHARERS == 0, "whole slabs");
    static_assert(C::BLOCK_M <= 256 && C::BLOCK_N <= 256 && C::BLOCK_N % 8 == 0, "a TMA box");
    static_assert(LINE_BYTES % 32 == 0, "a store box");
    static_assert(TILE_COLS % OUT_COLS == 0, "equal parts of a split");
    static_assert(SLABS % PAIR_DOWN == 0 && TILE_COLS % 8 == 0, "whole pairs");
    static_assert(PAIR_ACROSS == 1 || C::SPLIT_K == 1, "the sums of a split pair lie in slabs");
    static_assert(!PAIRED || PAIR_ROWS % (8 * (C::SWAP ? C::CLUSTER_N : C::CLUSTER_M)) == 0,
        "each block of a cluster loads whole groups of both weights");
    static_assert(!NORMED || (ELEM == 2 && !(C::SWAP && C::PINGPONG) && !PAIRED),
        "norms of 16-bit rows, in turn");
    static_assert(!HELD || (C::DEPTH == 1 && C::SPLIT_K == 1), "whole stages of a whole sum");
    static_assert(!ADD_NORMED ||
                      (GemmAddNormed<C>::EXCHANGE && C::SPLIT_K == 1 && !C::PINGPONG && !EDGE_COLS),
        "all consumers exchange the sums of whole tiles, stored in boxes");
    static_assert(C_BYTES % 1024 == 0 && R_BYTES % 1024 == 0, "whole swizzle groups");
    static_assert(C::BLOCK_M % (8 * C::CLUSTER_N) == 0 &&
                      C::BLOCK_N % ((C::SWAP ? GEMM_LEAST_SHARE : 8) * C::CLUSTER_M) == 0,
        "each block of a cluster loads whole groups of a shared tile, of tokens a few rows");
    static_assert(C::CLUSTER == RECTANGLE * C::SPLIT_K && C::CLUSTER <= 16, "cluster");
    static_assert(C::SPLIT_K == 1 || !C::PINGPONG, "a split sum takes no turns");
    static_assert(!C::SPLIT_TAIL || (C::SPLIT_K == 1 && !C::PINGPONG && !NORMED && !ADD_NORMED),
        "sums are cut of what is only added up, in one order");
    static_assert(!C::SPLIT_TAIL || !C::BATCH_INVARIANT, "where a sum is cut depends on M");
    static_assert((C::SPLIT_K - 1) * SPLIT_STAGES < K_STAGES, "each block of a split has work");
    static_assert(PARTIAL_BYTES <= BUFFER_AT, "the stages hold a partial tile");
    static_assert(C::SMEM_BYTES >= SMEM_BYTES, "the host's geometry agrees");
};

// Swizzle of shared memory as TMA has it: sixteens of a row change places by the bits above 7.
template <int BYTES> TF_DEV constexpr int gemm_swizzle(int offset)
{
    return offset ^ (offset >> 3 & (BYTES - 16));
}
