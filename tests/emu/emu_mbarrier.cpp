// Barriers in shared memory that count arrivals and bytes. Their state is kept beside the memory.
//
// A phase completes when nothing is missing. Whoever waits for it then knows what those who arrived
// knew; the bytes that came with it are the writes of the barrier's own agent, at a time that is the
// number of the phase.
#include "emu_copy.h"
#include "emu_report.h"
#include "emu_shared.h"

namespace emu {

namespace {

Block &owner_of(const void *at)
{
    Cluster &cluster = *self->block->cluster;
    const size_t place = (size_t)(static_cast<const unsigned char *>(at) - cluster.shared);
    return cluster.blocks[place / cluster.shared_stride];
}

uint32_t offset_in(const Block &block, const void *at)
{
    return (uint32_t)(static_cast<const unsigned char *>(at) - block.shared);
}

MBarrier &find(const void *at, const void *site)
{
    Block &block = owner_of(at);
    const uint32_t offset = offset_in(block, at);
    auto found = block.mbarriers.find(offset);
    if (found == block.mbarriers.end())
        fail(site, "uses the mbarrier at +0x%x, which was not initialised", offset);
    MBarrier &bar = found->second;
    const bool own = bar.init.agent == self->agent;
    const bool met = bar.init_fenced && self->met.at(bar.init.agent) >= bar.init.time;
    if (TRACED && !own && !met && self->seen.at(bar.init.agent) < bar.init.time)
        report("mbarrier", site,
            "uses the mbarrier at +0x%x that thread %u initialises at %s: no barrier between "
            "them%s",
            offset, bar.init.agent % grid.launch->threads, source_line(bar.init.site).c_str(),
            bar.init_fenced ? "" : ", or no fence of the init before one that orders no memory");
    return bar;
}

} // namespace

void mbarrier_arrive(MBarrier &bar, const void *site)
{
    if (!bar.pending)
        fail(site, "arrives at the mbarrier at +0x%x, whose phase %llu has all its %u arrivals",
            bar.offset, (unsigned long long)bar.phase, bar.expected);
    bar.gathering.join(self->seen);
    bar.gathering.raise(self->agent, self->time);
    self->time++;
    order_release(&bar);
    bar.pending--;
    mbarrier_complete(bar);
}

MBarrier &mbarrier_at(const void *at, const void *site)
{
    return find(at, site);
}

void mbarrier_complete(MBarrier &bar)
{
    if (bar.pending || bar.bytes)
        return;
    bar.gathering.raise(bar.agent, (uint32_t)bar.phase + 1);
    bar.released[bar.phase & 1] = bar.gathering;
    bar.gathering = Clock();
    bar.phase++;
    bar.pending = bar.expected;
    grid.idle_rounds = 0;
    schedule_wake(bar);
}

void mbar_init(void *at, uint32_t arrivals)
{
    const Unseen unseen;
    const void *site = __builtin_return_address(0);
    Block &block = owner_of(at);
    const uint32_t offset = offset_in(block, at);
    if (offset % 8 || offset + 8 > grid.launch->smem_bytes)
        fail(site, "an mbarrier at +0x%x: 8 aligned bytes of shared memory", offset);
    MBarrier &bar = block.mbarriers[offset] = MBarrier();
    bar.expected = bar.pending = arrivals;
    bar.offset = offset;
    bar.agent = block.cluster->next_agent++;
    bar.init = {site, self->time, self->agent};
}

void mbar_init_fence()
{
    const Unseen unseen;
    for (auto &entry : self->block->mbarriers)
        entry.second.init_fenced |= entry.second.init.agent == self->agent;
}

void mbar_arrive(void *at)
{
    const Unseen unseen;
    const void *site = __builtin_return_address(0);
    mbarrier_arrive(find(at, site), site);
}

void mbar_arrive_at(void *at, int rank)
{
    const Unseen unseen;
    const void *site = __builtin_return_address(0);
    void *there = cluster_map(at, rank);
    Block &owner = owner_of(there);
    if (&owner != self->block)
        peer_access(owner, offset_in(owner, there), site);
    mbarrier_arrive(find(there, site), site);
}

void mbar_expect(void *at, uint32_t bytes)
{
    const Unseen unseen;
    const void *site = __builtin_return_address(0);
    MBarrier &bar = find(at, site);
    bar.bytes += bytes;
    mbarrier_arrive(bar, site);
}

void mbar_wait(void *at, uint32_t parity)
{
    const Unseen unseen;
    const void *site = __builtin_return_address(0);
    MBarrier &bar = find(at, site);
    Wait why = {"phase of the mbarrier", site};
    why.offset = bar.offset;
    why.mbarrier = &bar;
    while ((bar.phase & 1) == parity)
        schedule_wait(bar, why);
    self->seen.join(bar.released[parity & 1]);
    order_acquire(&bar);
}

} // namespace emu
