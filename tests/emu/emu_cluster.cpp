// Clusters come and go: their threads, their barriers and their shared memory.
#include "emu_machine.h"
#include "emu_report.h"
#include "emu_shared.h"
#include <cstdlib>
#if defined(__SANITIZE_ADDRESS__)
#    include <sanitizer/asan_interface.h>
#endif

namespace emu {

namespace {

constexpr size_t SHARED_ALIGN = 1024, SHARED_GAP = 1024; // of a block's; what lies behind it
constexpr int POISON = 0xff;                             // NaN in every float format

size_t stride_of_shared()
{
    return (grid.launch->smem_bytes + SHARED_ALIGN - 1) / SHARED_ALIGN * SHARED_ALIGN + SHARED_GAP;
}

// Whoever reads shared memory that nobody wrote reads NaN; whoever leaves it meets a red zone.
void make_shared_memory(Cluster &cluster)
{
    const size_t stride = stride_of_shared();
    cluster.shared_stride = stride;
    cluster.shared_bytes = stride * cluster.blocks.size();
    if (!cluster.shared)
        cluster.shared =
            static_cast<unsigned char *>(std::aligned_alloc(SHARED_ALIGN, cluster.shared_bytes));
    if (!cluster.shared)
        std::abort();
    for (Block &block : cluster.blocks) {
        block.shared = cluster.shared + block.rank * stride;
        std::memset(block.shared, POISON, grid.launch->smem_bytes);
#if defined(__SANITIZE_ADDRESS__)
        __asan_poison_memory_region(
            block.shared + grid.launch->smem_bytes, stride - grid.launch->smem_bytes);
#endif
    }
}

void place_block(Block &block, uint32_t linear)
{
    const uint32_t *size = grid.launch->grid;
    block.index[0] = linear % size[0];
    block.index[1] = linear / size[0] % size[1];
    block.index[2] = linear / size[0] / size[1];
}

void begin_block(Cluster &cluster, uint32_t rank, uint32_t linear)
{
    Block &block = cluster.blocks[rank];
    const uint32_t threads = grid.launch->threads, warps = (threads + 31) / 32;
    block.cluster = &cluster;
    block.rank = rank;
    block.live = threads;
    place_block(block, linear);
    for (Barrier &barrier : block.named)
        barrier = Barrier();
    block.start = Clock();
    block.start.raise(start_agent(rank), 1);
    block.mbarriers.clear();
    block.warpgroups.assign(threads / 128, Warpgroup());
    for (Warpgroup &group : block.warpgroups)
        wgmma_begin(group, cluster.next_agent++);
    block.warps.assign(warps, Warp());
    for (uint32_t w = 0; w < warps; w++)
        block.warps[w].barrier.expected = w + 1 < warps ? 32 : threads - 32 * w;
}

void begin_thread(Cluster &cluster, uint32_t agent)
{
    Fiber &fiber = cluster.fibers[agent];
    Context context = fiber.context;
    fiber = Fiber();
    fiber.context = context;
    fiber.block = &cluster.blocks[agent / grid.launch->threads];
    fiber.agent = agent;
    fiber.time = 1;
    fiber.seen = fiber.block->start;
    fiber.identity.thread = (int)(agent % grid.launch->threads);
    fiber.identity.block = fiber.block->index[0];
    fiber.identity.blocks = grid.launch->grid[0];
    fiber.identity.rank = fiber.block->rank;
    fiber.identity.shared = fiber.block->shared;
    if (!fiber.context.stack)
        context_make_stack(fiber.context);
    schedule_start(fiber);
}

} // namespace

void cluster_begin()
{
    std::unique_ptr<Cluster> cluster = std::move(grid.spare);
    const uint32_t blocks = grid.launch->cluster, n = threads_of_cluster();
    if (!cluster) {
        cluster = std::make_unique<Cluster>();
        cluster->blocks.resize(blocks);
        cluster->fibers.resize(n);
    }
    cluster->runnable.assign((n + 63) / 64, 0);
    cluster->live = n;
    cluster->next_agent = n + blocks;
    cluster->flights.clear();
    cluster->barrier = Barrier();
    cluster->barrier.expected = n;
    cluster->meeting = cluster->met = Clock();
    for (uint32_t rank = 0; rank < blocks; rank++)
        begin_block(*cluster, rank, grid.next_cluster * blocks + rank);
    make_shared_memory(*cluster);
    for (Block &block : cluster->blocks)
        shared_begin(block);
    for (uint32_t agent = 0; agent < n; agent++)
        begin_thread(*cluster, agent);
    grid.next_cluster++;
    grid.active.push_back(std::move(cluster));
}

void cluster_free(Cluster &cluster)
{
    for (Fiber &fiber : cluster.fibers)
        context_free_stack(fiber.context);
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(cluster.shared, cluster.shared_bytes);
#endif
    std::free(cluster.shared);
}

// One cluster is kept for the next of this launch.
void cluster_end(std::unique_ptr<Cluster> cluster)
{
    if (!grid.spare)
        grid.spare = std::move(cluster);
    else
        cluster_free(*cluster);
}

} // namespace emu
