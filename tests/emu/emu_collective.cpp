// Barriers and what lanes of a warp exchange.
//
// What a thread did before it arrived, everybody who leaves knows (Clock). A shuffle moves
// registers and orders no memory, as on the device.
#include "emu_matrix.h"
#include "emu_report.h"

namespace emu {

namespace {

enum Order { ORDERS_MEMORY, ORDERS_NOTHING };

// Arrives; true for the last one, which has let the others go.
bool arrive(Barrier &barrier, Order order)
{
    if (order == ORDERS_MEMORY) {
        barrier.gathering.join(self->seen);
        barrier.gathering.raise(self->agent, self->time);
        self->time++;
        order_release(&barrier);
    }
    if (++barrier.arrived < barrier.expected)
        return false;
    barrier.arrived = 0;
    barrier.generation++;
    barrier.released = barrier.gathering;
    barrier.gathering = Clock();
    barrier.released_any = barrier.any;
    barrier.any = false;
    grid.idle_rounds = 0;
    schedule_wake(barrier);
    return true;
}

void wait(Barrier &barrier, uint64_t generation, Wait why)
{
    why.barrier = &barrier;
    while (barrier.generation == generation)
        schedule_wait(barrier, why);
}

// Who arrived knows less than who leaves: the clock of the barrier takes its place.
void sync(Barrier &barrier, Order order, const Wait &why)
{
    const uint64_t generation = barrier.generation;
    if (!arrive(barrier, order))
        wait(barrier, generation, why);
    if (order == ORDERS_NOTHING)
        return;
    self->seen = barrier.released;
    order_acquire(&barrier);
}

const char *name(Sync kind)
{
    switch (kind) {
    case Sync::WARP:
        return "warp barrier";
    case Sync::SHUFFLE:
        return "shuffle";
    case Sync::VOTE:
        return "vote";
    case Sync::CLUSTER:
        return "cluster barrier";
    default:
        return "block barrier";
    }
}

Warp &enter_warp(Sync kind, const void *site)
{
    Warp &warp = self->block->warps[(size_t)self->identity.thread / 32];
    if (warp.barrier.arrived == 0) {
        warp.kind = kind;
        warp.site = site;
        warp.first = self->identity.thread;
    } else if (warp.kind != kind) {
        fail(site, "comes to a %s while thread %d of its warp is at the %s at %s", name(kind),
            warp.first, name(warp.kind), source_line(warp.site).c_str());
    }
    return warp;
}

Barrier &named(int id, int threads, const void *site)
{
    if (id < 0 || id >= MAX_NAMED)
        fail(site, "barrier %d: a block has %d", id, MAX_NAMED);
    Barrier &barrier = self->block->named[id];
    if (threads <= 0 || threads % 32 || (uint32_t)threads > grid.launch->threads)
        fail(site, "barrier %d for %d threads: whole warps of the block", id, threads);
    if (barrier.arrived && barrier.expected != (uint32_t)threads)
        fail(site, "barrier %d for %d threads: others came to it for %u", id, threads,
            barrier.expected);
    barrier.expected = (uint32_t)threads;
    return barrier;
}

// Whether any of them came with `mine`. Nobody arrives again before all have left.
bool sync_named(int id, int threads, bool mine, const void *site)
{
    Barrier &barrier = named(id, threads, site);
    Wait why = {"named barrier", site};
    why.number = id;
    barrier.any |= mine;
    sync(barrier, ORDERS_MEMORY, why);
    return barrier.released_any;
}

// Everybody who leaves knows that blocks have started and barriers were made; what was stored, only where
// the arrival orders memory.
void arrive_at_cluster(Order order, const void *site)
{
    Cluster &cluster = *self->block->cluster;
    if (self->cluster_arrived)
        fail(site, "arrives at the cluster barrier twice without a wait");
    self->cluster_arrived = true;
    self->cluster_generation = cluster.barrier.generation;
    cluster.meeting.join(self->seen);
    cluster.meeting.join(self->met);
    cluster.meeting.raise(self->agent, self->time);
    if (order == ORDERS_NOTHING)
        self->time++;
    if (arrive(cluster.barrier, order)) {
        cluster.met = cluster.meeting;
        cluster.meeting = Clock();
    }
}

} // namespace

void block_sync()
{
    const Unseen unseen;
    const void *site = __builtin_return_address(0);
    sync(named(0, (int)grid.launch->threads, site), ORDERS_MEMORY, {"block barrier", site});
}

void named_sync(int id, int threads)
{
    const Unseen unseen;
    sync_named(id, threads, false, __builtin_return_address(0));
}

bool named_any(int id, int threads, bool mine)
{
    const Unseen unseen;
    return sync_named(id, threads, mine, __builtin_return_address(0));
}

void named_arrive(int id, int threads)
{
    const Unseen unseen;
    arrive(named(id, threads, __builtin_return_address(0)), ORDERS_MEMORY);
}

void warp_sync()
{
    const Unseen unseen;
    const void *site = __builtin_return_address(0);
    sync(enter_warp(Sync::WARP, site).barrier, ORDERS_MEMORY, {name(Sync::WARP), site});
}

uint64_t warp_exchange(uint64_t value, int source)
{
    const Unseen unseen;
    const void *site = __builtin_return_address(0);
    Warp &warp = enter_warp(Sync::SHUFFLE, site);
    uint64_t *slots = warp.slots[warp.barrier.generation & 1];
    slots[self->identity.thread % 32] = value;
    sync(warp.barrier, ORDERS_NOTHING, {name(Sync::SHUFFLE), site});
    const uint32_t lanes = warp.barrier.expected;
    if (source < 0 || (uint32_t)source >= lanes)
        fail(site, "reads lane %d of a warp of %u", source, lanes);
    return slots[source];
}

WarpWords warp_share(const uint32_t *words, int n)
{
    const Unseen unseen;
    const void *site = __builtin_return_address(0);
    Warp &warp = enter_warp(Sync::SHUFFLE, site);
    uint32_t(*all)[8] = warp.words[warp.barrier.generation & 1];
    std::memcpy(all[self->identity.thread % 32], words, (size_t)n * sizeof *words);
    sync(warp.barrier, ORDERS_NOTHING, {name(Sync::SHUFFLE), site});
    return all;
}

void barrier_sync(Barrier &barrier, uint64_t generation, const Wait &why)
{
    if (!arrive(barrier, ORDERS_NOTHING))
        wait(barrier, generation, why);
}

void cluster_arrive()
{
    const Unseen unseen;
    arrive_at_cluster(ORDERS_MEMORY, __builtin_return_address(0));
}

void cluster_arrive_relaxed()
{
    const Unseen unseen;
    arrive_at_cluster(ORDERS_NOTHING, __builtin_return_address(0));
}

void cluster_wait()
{
    const Unseen unseen;
    const void *site = __builtin_return_address(0);
    Barrier &barrier = self->block->cluster->barrier;
    if (!self->cluster_arrived)
        fail(site, "waits for the cluster barrier without having arrived");
    wait(barrier, self->cluster_generation, {name(Sync::CLUSTER), site});
    self->cluster_arrived = false;
    self->met = self->block->cluster->met;
    self->seen.join(barrier.released);
    order_acquire(&barrier);
}

} // namespace emu
