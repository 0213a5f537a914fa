// emu_async.h: what happens beside the threads: barriers that copies complete on, the copies, and
// matrix products of warps and warpgroups. Included by emu.h; host bodies in kernels/device/ call it.
#pragma once
#include <cstdint>

namespace emu {

// ---- mbarrier: arrivals and bytes -----------------------------------------------------------------

void mbar_init(void *bar, uint32_t arrivals);
void mbar_init_fence(); // the running thread's inits may be told of by a barrier that orders no memory
void mbar_arrive(void *bar);
void mbar_arrive_at(void *bar, int rank);
void mbar_expect(void *bar, uint32_t bytes); // an arrival, and bytes that copies will bring
void mbar_wait(void *bar, uint32_t parity);

// ---- copies ---------------------------------------------------------------------------------------

// The running thread's ordinary writes, and what it knows of others', are visible to copies and wgmma.
void fence_async();

// `map` points to an emu_tensor_map; coordinates are innermost first. mask 0: this block.
void tensor_load(void *to, const void *map, void *bar, const int *at, int rank, uint32_t mask);
void tensor_store(const void *map, const void *from, const int *at, int rank);
void bulk_load(void *to, const void *from, uint32_t bytes, void *bar);
void bulk_store(void *to, const void *from, uint32_t bytes);
void bulk_commit();
void bulk_wait(int pending, bool read_only);

void cp_async(void *to, const void *from, uint32_t width, uint32_t bytes);
void cp_async_commit();
void cp_async_wait(int pending);
void cp_async_arrive(void *bar);

// ---- matrices -------------------------------------------------------------------------------------

enum Element { ELEMENT_F16, ELEMENT_BF16, ELEMENT_E4M3, ELEMENT_E5M2 };

// Everybody's words, by lane: shared by a warp until its next collective.
using WarpWords = const uint32_t (*)[8];
WarpWords warp_share(const uint32_t *words, int n);

float element_value(Element type, uint32_t bits);

// D (16 x 8) += A * B of a warp, fragments as PTX has them; K is 16 two-byte or 32 one-byte elements.
void mma(float *d, const uint32_t *a, const uint32_t *b, Element type_a, Element type_b);

// A warpgroup's D (64 x n) = A * B (+ D): from the issue to the wait D belongs to the hardware.
void wgmma(
    float *d, int n, uint64_t a, uint64_t b, bool accumulate, Element type_a, Element type_b);
// A's step in the threads' registers, which belong to the hardware as long as D does.
void wgmma_held(float *d, int n, const uint32_t (&a)[4], uint64_t b, bool accumulate, Element type);
void wgmma_fence();
void wgmma_commit();
void wgmma_wait(int pending);

} // namespace emu
