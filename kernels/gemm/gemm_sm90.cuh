// gemm_sm90.cuh: matrix products on Hopper: TMA, mbarriers, wgmma, warps with different work.
//
// One producer warpgroup, one to three consumers. Tunables (limits: the static_asserts of GemmLayout;
// measurements: docs/notes/gemm.md):
//   BLOCK_M, BLOCK_N  tile: rows of R and of C. Larger: fewer bytes from L2 a product, more registers.
//   STAGES            of the ring: bytes in flight.
//   DEPTH             tiles of 128 bytes of K in a stage: fewer waits where tiles are small.
//   CONSUMERS         warpgroups that multiply.
//   PINGPONG          0: consumers share a tile; 1: they take turns, one stores while one multiplies.
//   CLUSTER_M, _N     blocks that share a C tile, an R tile by multicast.
//   SPLIT_K           blocks of a cluster that share the sum of a tile: as many rectangles.
//   SPLIT_TAIL        1: the last tiles, fewer than clusters, are cut along K (gemm_walk.cuh).
//   GROUP             rectangles down a band (gemm_tiles.cuh).
//   SWAP              1: weight rows run down the tile, tokens across it.
//
// Lines of a weight that is read once leave L2 first.
//
// Synchronisation: the ring; a named barrier for each consumer around its store buffers; a cluster
// barrier at the beginning of a clustered kernel, two around the partial sums of a split; words in the
// workspace between clusters that share a sum (gemm_tail.cuh).
#pragma once
#include "device/pdl.cuh"
#include "device/regs.cuh"
#include "gemm/gemm_add_norm.cuh"
#include "gemm/gemm_epilogue.cuh"
#include "gemm/gemm_held.cuh"
#include "gemm/gemm_load.cuh"
#include "gemm/gemm_mainloop.cuh"
#include "gemm/gemm_split.cuh"
#include "gemm/gemm_tail.cuh"

template <class C> struct GemmConsumer {
    using L = GemmLayout<C>;
    using Epilogue = GemmStore<C>;
    using Cursor = GemmCursor<C>;

    TF_DEV void multiply([[maybe_unused]] const gemm_params &p, float (&acc)[L::SLABS][L::REGS],
        Cursor &cursor, [[maybe_unused]] GemmKept<C> &kept, int row, int stages, const GemmTile &tile,
        const GemmTiles<C> &tiles, const GemmTurn<C> &turn)
    {
        GemmTurn<C>::take(turn);
        if constexpr (L::HELD)
            GemmHeld<C>::multiply(p, acc, cursor, kept, tile.row, row, tiles, turn);
        else if constexpr (L::PROMOTE)
            GemmMainloop<C>::promote(acc, cursor, row, stages, tile, tiles, turn);
        else
            GemmMainloop<C>::accumulate(acc, cursor, row, stages, tiles, turn);
    }

    // From the sums of a tile at `tile`, its rows from `row` on, to the output.
    template <int REGS>
    TF_DEV void store(Epilogue &epilogue, const gemm_params &p, const GemmTile &tile, int row,
        const float (&sum)[L::SLABS][REGS])
    {
        epilogue.row = tile.row + row / L::PAIR_DOWN;
        epilogue.col = tile.col;
        if constexpr (L::PAIRED) {
            float joined[L::OUT_SLABS][L::OUT_REGS];
            GemmPair<C>::join(epilogue, p, sum, joined);
            Epilogue::store(epilogue, p, joined);
        } else {
            Epilogue::store(epilogue, GemmParts<C>::params(p, tile.part), sum);
        }
    }

    // Tiles one after the other, all consumers on each or each on every second one.
    TF_DEV void run(const gemm_params &p, int consumer)
    {
        const GemmTiles<C> tiles = GemmTiles<C>::start(p);
        const int row = C::PINGPONG ? 0 : consumer * L::ROWS;
        const int skipped = C::PINGPONG ? consumer : 0, each = C::PINGPONG ? C::CONSUMERS : 1;
        GemmWalk<C> walk = GemmWalk<C>::start(tiles, skipped, each);
        GemmPiece piece;
        Epilogue epilogue = Epilogue::start(p, consumer);
        GemmTurn<C> turn = {consumer, true, false};
        GemmKept<C> kept = GemmKept<C>::none();
        Cursor cursor = {0, 0};
        [[maybe_unused]] u32 phase = 0; // of the norms' barriers
        Cursor::skip(cursor, skipped * L::K_STAGES);
        while (GemmWalk<C>::next(walk, tiles, piece)) {
            const GemmTile tile = GemmTiles<C>::at(p, tiles, piece.tile);
            float acc[L::SLABS][L::REGS];
            if constexpr (L::CLEARED)
                GemmMainloop<C>::clear(acc);
            turn.more = piece.tile + tiles.step < tiles.count;
            multiply(p, acc, cursor, kept, row, piece.count, tile, tiles, turn);
            turn.first = false;
            if constexpr (C::PINGPONG)
                Cursor::skip(cursor, L::K_STAGES);
            if constexpr (L::NORM_WARPS)
                GemmNorm<C>::apply_next(p, row, acc, phase);
            if constexpr (C::SPLIT_TAIL) {
                if (piece.part > 0) {
                    GemmParting<C>::leave(p, tiles, piece, consumer, acc);
                    continue;
                }
                GemmParting<C>::gather(p, tiles, piece, consumer, acc);
            }
            store(epilogue, p, tile, row, acc);
        }
        Epilogue::finish_stores(epilogue);
    }

    // The one tile of a block in a cluster along K. The producer meets the cluster barrier, too.
    TF_DEV void run_split(const gemm_params &p, int consumer)
    {
        const GemmTiles<C> tiles = GemmTiles<C>::start(p);
        const GemmTile tile = GemmTiles<C>::at(p, tiles, tiles.next);
        const int row = consumer * L::ROWS, first = GemmKRange<C>::share() * L::OUT_COLS;
        Cursor cursor = {0, 0};
        float acc[L::SLABS][L::REGS], sum[L::SLABS][L::OUT_REGS];
        GemmKept<C> kept = GemmKept<C>::none();
        multiply(p, acc, cursor, kept, row, GemmKRange<C>::mine().count, tile, tiles,
            {consumer, true, false});
        GemmSplit<C>::leave(acc);
        cluster_arrive();
        cluster_wait(); // every partial tile is there
        if (first >= C::BLOCK_N)
            return;
        Epilogue epilogue = Epilogue::start(p, consumer);
        GemmSplit<C>::gather(sum, first);
        if constexpr (L::NORM_WARPS)
            GemmNorm<C>::apply_split(p, row, first, sum);
        store(epilogue, p, {tile.row, tile.col + first, tile.part}, row, sum);
        Epilogue::finish_stores(epilogue);
    }
};

template <class C> TF_DEV void gemm_sm90(const gemm_params &p)
{
    using L = GemmLayout<C>;
    if (thread_index() == 0) {
        GemmNorm<C>::init();
        GemmRing<C>::init(GemmScales<C>::fillers(p));
    }
    GemmScales<C>::clear(p);
    if constexpr (C::CLUSTER > 1)
        cluster_meet();
    else
        block_sync();
    if constexpr (C::PDL) {
        pdl_launch();
        if (thread_index() >= 32)
            pdl_wait(); // else GemmProducer
    }
    const int group = warp_uniform(thread_index() / L::WARPGROUP);
    if (group == 0) {
        if constexpr (L::MOVE_REGS)
            regs_release<L::PRODUCER_REGS>();
        const int warp = warp_uniform(thread_index() / 32);
        if (warp == 0 && warp_elect())
            GemmProducer<C>::run(p);
        if constexpr (L::BLOCK_SCALED)
            if (warp == 1)
                GemmScales<C>::produce(p);
        if constexpr (L::NORM_WARPS)
            if (warp > 0)
                GemmNorm<C>::produce(p);
        warp_sync();
        if constexpr (C::SPLIT_K > 1) {
            cluster_arrive();
            cluster_wait();
        }
    } else {
        if constexpr (L::MOVE_REGS)
            regs_acquire<L::CONSUMER_REGS>();
        if constexpr (C::SPLIT_K > 1)
            GemmConsumer<C>::run_split(p, group - 1);
        else
            GemmConsumer<C>::run(p, group - 1);
    }
    // A peer may still read this block's partial tile; who shares its stages is waited for by the producer.
    if constexpr (C::SPLIT_K > 1) {
        warp_sync();
        cluster_meet();
    }
}
