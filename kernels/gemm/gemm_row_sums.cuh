// gemm_row_sums.cuh: sums over whole rows of the output, of which a tile has a part.
//
// The warps of a block leave their parts in shared memory, the block says their sums for all others with
// tiles of these rows (device/grid.cuh: a word for each row and tile, in workspace) and hears theirs. A
// row is summed in the order of its tiles, so that the same inputs give the same bits. The last block to
// have heard all of a band clears its words, one tile later, when the count has long come back.
// A block that has all tiles of its rows adds its sums up instead.
//
// Synchronisation: two barriers of the THREADS threads from FIRST on, for each tile; one at the end.
#pragma once
#include "device/barrier.cuh"
#include "device/grid.cuh"
#include "device/reduce.cuh"
#include "gemm/gemm_layout.cuh"

template <class C, class Layout, int FIRST, int AT, int TILES> struct GemmRowSums {
    enum { BARRIER = 8 }; // a named barrier beyond the store buffers'
    static constexpr int ROWS = Layout::ROWS, THREADS = Layout::THREADS;
    static constexpr int SHARES = Layout::SHARES; // threads that hear of a row
    static constexpr int AT_ONCE = min_int(ceil_div(TILES, SHARES), 32);

    u32 *state, *count, *words;
    u32 before; // blocks that had heard of the band at `words`; of the first thread

    TF_DEV GemmRowSums start(u32 *state)
    {
        return {state, state, state, ~0u};
    }

    TF_DEV int thread()
    {
        return thread_index() - FIRST;
    }

    // Of `warp`: its sum of each row of the tile.
    TF_DEV float *part(int warp)
    {
        return smem_at<float>(AT) + warp * ROWS;
    }

    // Of the threads that hear of each row, the `at`th.
    TF_DEV float *share(int at)
    {
        return part(Layout::WARPS + at);
    }

    TF_DEV float of_warps(int row)
    {
        float sum = part(0)[row];
        TF_UNROLL
        for (int warp = 1; warp < Layout::WARPS; warp++)
            sum += part(warp)[row];
        return sum;
    }

    // What the layout has room for behind the sums.
    TF_DEV float *columns()
    {
        return share(SHARES);
    }

    // With every part() left: those of tile `tile` of the `bands` bands' `band`.
    TF_DEV void say(GemmRowSums &sums, int bands, int band, int tile)
    {
        leave(sums); // every part is there
        sums.count = sums.state + band;
        sums.words = sums.state + bands + (long long)band * (TILES * ROWS);
        for (int row = thread(); row < ROWS; row += THREADS)
            grid_store(sums.words + tile * ROWS + row, f32_bits(of_warps(row)) | GRID_SAID);
    }

    TF_DEV float hear_row(const GemmRowSums &sums, int row, int first)
    {
        float sum = 0;
        for (int tile = first; tile < TILES; tile += SHARES * AT_ONCE) {
            u32 said[AT_ONCE];
            grid_hear(sums.words + row, ROWS, tile, SHARES, TILES, said);
            TF_UNROLL
            for (int i = 0; i < AT_ONCE; i++)
                sum += f32_from_bits(said[i]);
        }
        return sum;
    }

    TF_DEV void hear(const GemmRowSums &sums)
    {
        for (int at = thread(); at < ROWS * SHARES; at += THREADS)
            share(at / ROWS)[at % ROWS] = hear_row(sums, at % ROWS, at / ROWS);
    }

    // Then total() has every row's.
    TF_DEV void meet(GemmRowSums &sums)
    {
        named_sync(BARRIER, THREADS); // every row was heard of
        if (thread() == 0)
            sums.before = grid_count(sums.count);
    }

    TF_DEV float total(int row)
    {
        float sum = share(0)[row];
        TF_UNROLL
        for (int at = 1; at < SHARES; at++)
            sum += share(at)[row];
        return sum;
    }

    // The last band. If no other block needs its words any more, they are cleared.
    TF_DEV void leave(GemmRowSums &sums)
    {
        if (!named_any(BARRIER, THREADS, sums.before == TILES - 1))
            return;
        for (int i = thread(); i < TILES * ROWS; i += THREADS)
            grid_store(sums.words + i, 0);
        if (thread() == 0)
            grid_store(sums.count, 0);
        sums.before = ~0u;
    }

    // ---- a block that has all tiles of its rows ----

    // The barriers of the next tile's product stand before its parts.
    TF_DEV void add(bool first)
    {
        named_sync(BARRIER, THREADS); // every part of the tile is there
        for (int row = thread(); row < ROWS; row += THREADS)
            share(0)[row] = (first ? 0.0f : share(0)[row]) + of_warps(row);
    }
};
