// grid.cuh: a word of every block that all blocks of a grid learn. Every block must be resident at the
// same time (cooperative launch), or the ones that run wait for ever.
//
// The state is a word for each block and one more, in workspace, all zero before the first launch; the
// last block to have heard makes them zero again, at its end. Bit 31 of a word says that it was said:
// words have 31 bits, like a magnitude.
#pragma once
#include "device/thread.cuh"

enum : u32 { GRID_SAID = 0x80000000u };

// PTX ISA 9.7.8.11 st.relaxed: the word is all there is to see
TF_DEV void grid_store(u32 *p, u32 word)
{
#ifdef TF_HOST
    emu::atomic_store(p, word);
#else
    asm volatile("st.relaxed.gpu.global.u32 [%0], %1;" ::"l"(p), "r"(word) : "memory");
#endif
}

// PTX ISA 9.7.8.8 ld.relaxed
TF_DEV u32 grid_load(const u32 *p)
{
#ifdef TF_HOST
    return emu::atomic_load(p);
#else
    u32 word;
    asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(word) : "l"(p) : "memory");
    return word;
#endif
}

// PTX ISA 9.7.13.5 atom. Relaxed: a fence would hold up what follows by a microsecond.
TF_DEV u32 grid_count(u32 *p)
{
#ifdef TF_HOST
    return emu::atomic_add(p, 1u);
#else
    u32 before;
    asm volatile("atom.add.relaxed.gpu.global.u32 %0, [%1], 1;" : "=r"(before) : "l"(p) : "memory");
    return before;
#endif
}

// A word that says that all this thread knows to be written may be read. PTX ISA 8.7, release patterns.
TF_DEV void grid_release(u32 *p, u32 word)
{
#ifdef TF_HOST
    emu::atomic_release(p, word);
#else
    asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(p), "r"(word) : "memory");
#endif
}

// Waits for such a word.
TF_DEV void grid_acquire(const u32 *p)
{
#ifdef TF_HOST
    while (!emu::atomic_acquire(p))
        emu::spin();
#else
    u32 word;
    do
        asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(word) : "l"(p) : "memory");
    while (!word);
#endif
}

// This block's word: by one thread.
TF_DEV void grid_say(u32 *state, u32 word)
{
    grid_store(state + 1 + block_index(), word | GRID_SAID);
}

// Waits for that of `block`.
TF_DEV u32 grid_hear(const u32 *state, u32 block)
{
    u32 word = grid_load(state + 1 + block);
    while (!(word & GRID_SAID)) {
#ifdef TF_HOST
        emu::spin();
#endif
        word = grid_load(state + 1 + block);
    }
    return word & ~GRID_SAID;
}

// The words `index`, index + step, … of `words`, those below `end`, a word each `stride`; others: 0. All
// loads are under way at a time; a word that was said is not asked for again.
template <int COUNT>
TF_DEV void grid_hear(
    const u32 *words, int stride, int index, int step, int end, u32 (&ret_said)[COUNT])
{
    TF_UNROLL
    for (int i = 0; i < COUNT; i++)
        ret_said[i] = index + i * step < end ? 0 : GRID_SAID;
    u32 all;
    do {
#ifdef TF_HOST
        emu::spin();
#endif
        TF_UNROLL
        for (int i = 0; i < COUNT; i++)
            if (!ret_said[i])
                ret_said[i] = grid_load(words + (long long)(index + i * step) * stride);
        all = GRID_SAID;
        TF_UNROLL
        for (int i = 0; i < COUNT; i++)
            all &= ret_said[i];
    } while (!all);
    TF_UNROLL
    for (int i = 0; i < COUNT; i++)
        ret_said[i] &= ~GRID_SAID;
}

// By one thread, when all of the block have heard every word and what they heard has been used: no
// word can be cleared before. True in one block, which clears them.
TF_DEV bool grid_heard(u32 *state)
{
    return grid_count(state) == block_count() - 1;
}

// By a warp of the block that grid_heard() named.
TF_DEV void grid_clear(u32 *state)
{
    for (u32 i = (u32)thread_index() % 32; i <= block_count(); i += 32)
        grid_store(state + i, 0);
}
