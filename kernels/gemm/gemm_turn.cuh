// gemm_turn.cuh: whose turn it is at the ring, when consumers alternate between tiles.
//
// A wait names only the parity of a stage's phase. A consumer that waited for its tile while the other
// one's is still coming would take that one for its own: so it starts when the other has seen its last
// stage.
#pragma once
#include "device/barrier.cuh"
#include "gemm/gemm_layout.cuh"

template <class C> struct GemmTurn {
    using L = GemmLayout<C>;
    enum { FIRST_BARRIER = 4 }; // behind the consumers' own

    int consumer;
    bool first; // this consumer's first tile
    bool more;  // the other one has a tile after this

    TF_DEV void take(const GemmTurn &turn)
    {
        if constexpr (C::PINGPONG)
            if (turn.consumer > 0 || !turn.first)
                named_sync(FIRST_BARRIER + turn.consumer, 2 * L::WARPGROUP);
    }

    TF_DEV void give(const GemmTurn &turn)
    {
        if constexpr (C::PINGPONG)
            if (turn.more)
                named_arrive(FIRST_BARRIER + 1 - turn.consumer, 2 * L::WARPGROUP);
    }
};
