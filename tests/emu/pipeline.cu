// pipeline.cu: a warp-specialised GEMM in miniature, right or with one bug, for test_pipeline.c.
//
// D[M, N] fp32 = A[M, K] * B[N, K]^T, e4m3 or f16. One producer warpgroup loads tiles of 64 x 128 bytes
// and N x 128 bytes by TMA into STAGES stages; one consumer warpgroup multiplies and stores a tile of
// D by TMA. Written against the emulator itself: the wrappers' PTX is kernels/device/'s business.
#include "device/thread.cuh"

struct pipeline_params {
    alignas(64) unsigned char a[128], b[128], d[128]; // tensor maps
    int k_blocks;
};

enum {
    RIGHT,
    WRONG_PHASE,
    MISSING_WAIT,
    EARLY_RELEASE,
    EXPECT_LESS,
    EXPECT_MORE,
    WRONG_ADVANCE,
    MISSING_BARRIER,
    NO_RELEASE,
    NO_FENCE,
    NO_STORE_WAIT,
    NO_WGMMA_WAIT,
    NO_WGMMA_FENCE,
};

template <class C> struct Pipeline {
    static constexpr int ROW = 128, A_BYTES = 64 * ROW, B_BYTES = C::N * ROW,
                         STAGE = A_BYTES + B_BYTES;
    static constexpr int D_AT = C::STAGES * STAGE, BARS = D_AT + 64 * C::N * 4;
    static constexpr emu::Element TYPE = C::FP8 ? emu::ELEMENT_E4M3 : emu::ELEMENT_F16;
    static constexpr int PER_BLOCK = C::FP8 ? 128 : 64; // elements of K in a row of a tile
    static_assert(C::SMEM_BYTES >= BARS + C::STAGES * 16, "the host's geometry agrees");

    static unsigned char *at(int offset)
    {
        return smem_at<unsigned char>((u32)offset);
    }
    static void *full(int stage)
    {
        return at(BARS + stage * 16);
    }
    static void *empty(int stage)
    {
        return at(BARS + stage * 16 + 8);
    }
    static u64 operand(const void *p)
    {
        return (u64)(emu::shared_address(p) >> 4) | 1ull << 16 | 64ull << 32 | 1ull << 62;
    }

    static void produce(const pipeline_params &p)
    {
        int stage = 0;
        u32 phase = 0;
        for (int k = 0; k < p.k_blocks; k++) {
            const int from_a[] = {k * PER_BLOCK, 0}, from_b[] = {k * PER_BLOCK, 0};
            if constexpr (C::KIND == WRONG_PHASE)
                emu::mbar_wait(empty(stage), phase); // wrong phase
            else
                emu::mbar_wait(empty(stage), phase ^ 1);
            emu::mbar_expect(full(stage), STAGE + (C::KIND == EXPECT_MORE ? 128 : 0) -
                                              (C::KIND == EXPECT_LESS ? B_BYTES : 0));     // expect
            emu::tensor_load(at(stage * STAGE), p.a, full(stage), from_a, 2, 0);           // load a
            emu::tensor_load(at(stage * STAGE + A_BYTES), p.b, full(stage), from_b, 2, 0); // load b
            stage = (stage + 1) % C::STAGES;
            phase ^= stage == 0;
        }
    }

    static void consume(const pipeline_params &p, float (&d)[C::N / 2])
    {
        constexpr bool WRONG = C::KIND == WRONG_ADVANCE;
        int stage = 0;
        u32 phase = 0;
        for (int k = 0; k < p.k_blocks; k++) {
            if (C::KIND != MISSING_WAIT || k != 1)
                emu::mbar_wait(full(stage), phase);
            if (C::KIND == EARLY_RELEASE && thread_index() % 128 == 0)
                emu::mbar_arrive(empty(stage)); // early release
            if constexpr (C::KIND != NO_WGMMA_FENCE)
                emu::wgmma_fence();
            for (int step = 0; step < 4; step++) {
                const u64 a = operand(at(stage * STAGE)) + step * (WRONG && step ? 1 : 2);
                const u64 b = operand(at(stage * STAGE + A_BYTES)) + step * 2;
                emu::wgmma(d, C::N, a, b, k || step, TYPE, TYPE); // multiply
            }
            emu::wgmma_commit();
            if constexpr (C::KIND != NO_WGMMA_WAIT)
                emu::wgmma_wait(0);
            if (C::KIND != EARLY_RELEASE && C::KIND != NO_RELEASE && thread_index() % 128 == 0)
                emu::mbar_arrive(empty(stage));
            stage = (stage + 1) % C::STAGES;
            phase ^= stage == 0;
        }
    }

    // The tile of D through shared memory.
    static void store(const pipeline_params &p, const float (&d)[C::N / 2])
    {
        float *tile = smem_at<float>(D_AT);
        const int lane = thread_index() % 32, row = thread_index() % 128 / 32 * 16 + lane / 4;
        for (int j = 0; j < C::N / 8; j++)
            for (int i = 0; i < 4; i++)
                tile[(row + i / 2 * 8) * C::N + 8 * j + lane % 4 * 2 + i % 2] =
                    d[4 * j + i]; // tile
        if constexpr (C::KIND != NO_FENCE)
            emu::fence_async();
        emu::named_sync(1, 128);
        if (thread_index() % 128 != 0)
            return;
        const int to[] = {0, 0};
        emu::tensor_store(p.d, tile, to, 2); // store
        emu::bulk_commit();
        if constexpr (C::KIND != NO_STORE_WAIT)
            emu::bulk_wait(0, true);
    }

    static void run(const pipeline_params &p)
    {
        if (thread_index() == 0)
            for (int stage = 0; stage < C::STAGES; stage++) {
                emu::mbar_init(full(stage), 1); // init
                emu::mbar_init(empty(stage), 1);
            }
        if constexpr (C::KIND != MISSING_BARRIER)
            block_sync();
        if (thread_index() < 128) {
            if (thread_index() == 0)
                produce(p);
        } else {
            float d[C::N / 2];
            consume(p, d);
            store(p, d);
        }
    }
};

template <class C> TF_DEV void pipeline(const pipeline_params &p)
{
    Pipeline<C>::run(p);
}
