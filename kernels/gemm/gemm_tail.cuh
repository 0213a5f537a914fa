// gemm_tail.cuh: sums of which several clusters have a part, added up through the workspace.
//
// The cluster with the beginning of a tile's sum adds the others' parts to it in the order of K, so that
// the same inputs give the same bits, and stores the tile.
//
// Workspace: a word for each consumer of each block, then tiles of sums as threads hold them, as many of
// both as blocks: each part has one of each. The words are zero before the first launch; whoever has
// seen one set clears it.
//
// Synchronisation: a consumer's named barrier; its word is set by release and seen by acquire.
#pragma once
#include "device/barrier.cuh"
#include "device/grid.cuh"
#include "device/mem.cuh"
#include "gemm/gemm_walk.cuh"

template <class C> struct GemmParting {
    using L = GemmLayout<C>;
    static constexpr int OWNERS = L::WARPGROUP * C::CONSUMERS;
    static constexpr int FOURS = L::SLABS * L::REGS / 4; // of a thread
    static constexpr int BATCH = 8;                      // loads under way at a time
    static constexpr int GRANULE = 256;

    // Part `part`, from 1 on, of a tile's sum, as this block of its cluster has it.
    TF_DEV int slot(const GemmTiles<C> &tiles, int tile, int part)
    {
        const int cut = GemmTail<C>::of(tiles).tiles;
        const int index = (part - 1) * cut + tile - (tiles.count - cut);
        return index * C::CLUSTER + (C::CLUSTER > 1 ? cluster_rank() : 0);
    }

    TF_DEV u32 *word(const gemm_params &p, int slot, int consumer)
    {
        return static_cast<u32 *>(p.workspace) + slot * C::CONSUMERS + consumer;
    }

    // Four sums of this thread; neighbouring threads side by side.
    TF_DEV u8 *place(const gemm_params &p, int slot, int index)
    {
        const int words = ceil_div((int)block_count() * C::CONSUMERS * 4, GRANULE) * GRANULE;
        const int thread = thread_index() - L::WARPGROUP;
        return static_cast<u8 *>(p.workspace) + words +
               16 * (((long long)slot * FOURS + index) * OWNERS + thread);
    }

    TF_DEV void leave(const gemm_params &p, const GemmTiles<C> &tiles, const GemmPiece &piece,
        int consumer, const float (&acc)[L::SLABS][L::REGS])
    {
        const int to = slot(tiles, piece.tile, piece.part);
        TF_UNROLL
        for (int i = 0; i < FOURS; i++) {
            u32 w[4];
            TF_UNROLL
            for (int e = 0; e < 4; e++)
                w[e] = f32_bits(acc[4 * i / L::REGS][4 * i % L::REGS + e]);
            st_words<ST_KEEP, 4>(place(p, to, i), w);
        }
        named_sync(1 + consumer, L::WARPGROUP); // all of this consumer's part is there
        if (thread_index() % L::WARPGROUP == 0)
            grid_release(word(p, to, consumer), GRID_SAID);
    }

    TF_DEV void add(const gemm_params &p, int slot, float (&acc)[L::SLABS][L::REGS])
    {
        TF_UNROLL
        for (int first = 0; first < FOURS; first += BATCH) {
            u32 w[BATCH][4];
            TF_UNROLL
            for (int i = 0; i < min_int(BATCH, FOURS - first); i++)
                ld_words<LD_ONCE, 4>(place(p, slot, first + i), w[i]);
            TF_UNROLL
            for (int i = 0; i < min_int(BATCH, FOURS - first); i++) {
                const int at = 4 * (first + i);
                TF_UNROLL
                for (int e = 0; e < 4; e++)
                    acc[at / L::REGS][at % L::REGS + e] += f32_from_bits(w[i][e]);
            }
            warp_sync(); // ptxas loads no further ahead than there are registers
        }
    }

    // The other parts of the sum whose beginning `piece` is.
    TF_DEV void gather(const gemm_params &p, const GemmTiles<C> &tiles, const GemmPiece &piece,
        int consumer, float (&acc)[L::SLABS][L::REGS])
    {
        _Pragma("unroll 1") for (int part = 1; part < piece.parts; part++)
        {
            const int from = slot(tiles, piece.tile, part);
            if (thread_index() % L::WARPGROUP == 0) {
                grid_acquire(word(p, from, consumer));
                grid_store(word(p, from, consumer), 0);
            }
            named_sync(1 + consumer, L::WARPGROUP);
            add(p, from, acc);
        }
    }
};
