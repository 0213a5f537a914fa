// gemm_pipeline.cuh: the ring of stages between the producer and the consumers.
//
// full[s] completes when a stage's bytes and scales are there, empty[s] when every consumer that reads it, in
// every block that it was multicast with, has let go of it.
#pragma once
#include "device/barrier.cuh"
#include "device/cluster.cuh"
#include "device/wgmma.cuh"
#include "gemm/gemm_layout.cuh"

// A place in the ring; `parity` of its barriers' phase.
template <class C> struct GemmCursor {
    u32 stage, parity;

    TF_DEV void advance(GemmCursor &cursor)
    {
        if (++cursor.stage == C::STAGES) {
            cursor.stage = 0;
            cursor.parity ^= 1;
        }
    }

    // Past a tile that the other consumer computes.
    TF_DEV void skip(GemmCursor &cursor, u32 stages)
    {
        const u32 to = cursor.stage + stages;
        cursor.stage = to % C::STAGES;
        cursor.parity ^= to / C::STAGES & 1;
    }
};

template <class C> struct GemmRing {
    using L = GemmLayout<C>;

    TF_DEV MBar *full(u32 stage)
    {
        return smem_at<MBar>(L::BARRIER_AT) + stage;
    }

    TF_DEV MBar *empty(u32 stage)
    {
        return smem_at<MBar>(L::BARRIER_AT) + C::STAGES + stage;
    }

    // Tile `depth` of a stage.
    TF_DEV u8 *r_tile(u32 stage, int depth)
    {
        return smem_at<u8>(stage * L::STAGE_BYTES + (u32)(depth * L::R_BYTES));
    }

    TF_DEV u8 *c_tile(u32 stage, int depth)
    {
        return smem_at<u8>(
            stage * L::STAGE_BYTES + (u32)(C::DEPTH * L::R_BYTES + depth * L::C_BYTES));
    }

    // By one thread, before the blocks of the cluster meet; `fillers`: arrivals at a full stage.
    TF_DEV void init(u32 fillers)
    {
        for (u32 s = 0; s < C::STAGES; s++) {
            mbar_init(full(s), fillers);
            mbar_init(empty(s), L::READERS * L::PEERS);
        }
        mbar_init_fence();
    }

    // By all threads of a consumer, after its last read of the stage whose empty[] `bar` is.
    TF_DEV void release(MBar *bar, int rank_m, int rank_n)
    {
        release_by(thread_index() % L::WARPGROUP, bar, rank_m, rank_n);
    }

    // By a reader, of whose threads this one is `t`.
    TF_DEV void release_by(int t, MBar *bar, int rank_m, int rank_n)
    {
        if constexpr (!L::MULTICAST) {
            if (t == 0)
                mbar_arrive(bar);
        } else if (t < L::PEERS) { // the blocks of this block's column, then the others of its row
            const int in_row = t - C::CLUSTER_M < rank_n ? t - C::CLUSTER_M : t - C::CLUSTER_M + 1;
            const int origin = C::SPLIT_K > 1 ? cluster_rank() / L::RECTANGLE * L::RECTANGLE : 0;
            mbar_arrive_at(
                bar, origin + (t < C::CLUSTER_M ? rank_n * C::CLUSTER_M + t
                                                         : in_row * C::CLUSTER_M + rank_m));
        }
    }
};

// A consumer's stage: its barrier and its first tile, as an operand. It moves with the cursor: of a stage's
// number ptxas computes the base of shared memory anew each time (S2UR), between the end of one stage's
// products and the begin of the next one's.
template <class C> struct GemmSlot {
    using Cursor = GemmCursor<C>;
    MBar *full;
    u64 tile;

    TF_DEV GemmSlot at(const Cursor &cursor)
    {
        return {GemmRing<C>::full(cursor.stage),
            wgmma_operand(GemmRing<C>::r_tile(cursor.stage, 0))};
    }

    TF_DEV void advance(Cursor &cursor, GemmSlot &slot)
    {
        Cursor::advance(cursor);
        const int stages = cursor.stage ? 1 : 1 - C::STAGES;
        slot.full += stages;
        slot.tile = wgmma_skip(slot.tile, stages * GemmLayout<C>::STAGE_BYTES);
    }

    TF_DEV MBar *empty(const GemmSlot &slot)
    {
        return slot.full + C::STAGES;
    }
};
