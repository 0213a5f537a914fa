// Who runs next, and what it means when nobody can.
#include "emu_copy.h"
#include "emu_report.h"
#include "emu_shared.h"
#include <algorithm>

namespace emu {

Grid grid;
Fiber *self;
const Identity *me;

namespace {

constexpr uint64_t MAX_SWITCHES = 1ull << 31;
constexpr uint32_t MAX_IDLE_ROUNDS = 1000;

void set_runnable(Fiber &fiber, bool value)
{
    uint64_t &word = fiber.block->cluster->runnable[fiber.agent / 64];
    const uint64_t bit = 1ull << (fiber.agent % 64);
    word = value ? word | bit : word & ~bit;
}

// The first runnable thread at or after `from`, or before the end; -1: none.
int64_t next_from(const Cluster &cluster, uint32_t from, uint32_t end)
{
    for (uint32_t w = from / 64; w * 64 < end; w++) {
        uint64_t bits = cluster.runnable[w];
        if (w == from / 64)
            bits &= ~0ull << (from % 64);
        if (bits) {
            const uint32_t i = w * 64 + (uint32_t)__builtin_ctzll(bits);
            return i < end ? (int64_t)i : -1;
        }
    }
    return -1;
}

// The last runnable thread before `end`, down to `from`; -1: none.
int64_t last_before(const Cluster &cluster, uint32_t from, uint32_t end)
{
    for (uint32_t i = end; i > from;) {
        const uint32_t w = (i - 1) / 64, top = (i - 1) % 64;
        const uint64_t bits = cluster.runnable[w] & (~0ull >> (63 - top));
        if (bits) {
            const uint32_t found = w * 64 + 63 - (uint32_t)__builtin_clzll(bits);
            return found >= from ? (int64_t)found : -1;
        }
        i = w * 64;
    }
    return -1;
}

int64_t either(int64_t first, int64_t second)
{
    return first >= 0 ? first : second;
}

uint64_t random_number()
{
    grid.random = grid.random * 6364136223846793005ull + 1442695040888963407ull;
    return grid.random >> 33;
}

// A thread of the cluster that can run, by the launch's order seen from thread `at`.
int64_t choose(const Cluster &cluster, uint32_t at)
{
    const uint32_t n = (uint32_t)cluster.fibers.size();
    const uint32_t threads = grid.launch->threads, block = at / threads * threads;
    const uint32_t warp = block + (at - block) / 32 * 32,
                   warp_end = std::min(warp + 32, block + threads);
    switch (grid.launch->order) {
    case EMU_REVERSE:
        return either(last_before(cluster, 0, at), last_before(cluster, at, n));
    case EMU_WARP_DEPTH:
        return either(next_from(cluster, at, warp_end),
            either(next_from(cluster, warp, at), next_from(cluster, 0, n)));
    case EMU_WARP_REVERSE:
        return either(last_before(cluster, at, warp_end),
            either(last_before(cluster, warp, at), last_before(cluster, 0, n)));
    case EMU_RANDOM:
        at = (uint32_t)(random_number() % n);
        [[fallthrough]];
    default:
        return either(next_from(cluster, at, n), next_from(cluster, 0, at));
    }
}

Fiber *choose_in(Cluster &cluster, uint32_t at)
{
    const int64_t found = choose(cluster, at);
    return found < 0 ? nullptr : &cluster.fibers[(size_t)found];
}

Fiber *choose_any()
{
    if (self)
        if (Fiber *found = choose_in(*self->block->cluster, self->agent))
            return found;
    for (auto &cluster : grid.active)
        if (Fiber *found = choose_in(*cluster, 0))
            return found;
    return nullptr;
}

// ---- when nobody can run ---------------------------------------------------------------------

bool same_wait(const Fiber &a, const Fiber &b)
{
    return a.block == b.block && a.wait.what == b.wait.what && a.wait.number == b.wait.number &&
           a.wait.offset == b.wait.offset && a.wait.site == b.wait.site;
}

std::string wait_text(const Fiber &first, uint32_t last)
{
    char head[128], place[64] = "", arrived[96] = "";
    if (first.identity.thread == (int)last)
        snprintf(head, sizeof head, "%s waits", thread_name(first).c_str());
    else
        snprintf(head, sizeof head, "%s to %u wait", thread_name(first).c_str(), last);
    if (first.wait.number >= 0)
        snprintf(place, sizeof place, " %lld", (long long)first.wait.number);
    if (first.wait.offset >= 0)
        snprintf(place + strlen(place), sizeof place - strlen(place), " at +0x%llx",
            (unsigned long long)first.wait.offset);
    if (first.wait.barrier)
        snprintf(arrived, sizeof arrived, " (%u of %u are there)", first.wait.barrier->arrived,
            first.wait.barrier->expected);
    if (const MBarrier *bar = first.wait.mbarrier)
        snprintf(arrived, sizeof arrived, ", phase %llu (%u arrivals and %lld bytes are missing)",
            (unsigned long long)bar->phase, bar->pending, (long long)bar->bytes);
    return std::string(head) + " for the " + first.wait.what + place + arrived + " at " +
           source_line(first.wait.site);
}

[[noreturn]] void deadlock()
{
    std::string text;
    uint32_t told = 0;
    for (auto &cluster : grid.active)
        for (size_t i = 0; i < cluster->fibers.size() && told < 8; told++) {
            while (i < cluster->fibers.size() && cluster->fibers[i].done)
                i++;
            if (i == cluster->fibers.size())
                break;
            const Fiber &first = cluster->fibers[i];
            uint32_t last = (uint32_t)first.identity.thread;
            for (i++; i < cluster->fibers.size() && same_wait(first, cluster->fibers[i]); i++)
                last = (uint32_t)cluster->fibers[i].identity.thread;
            text += (text.empty() ? "" : "; ") + wait_text(first, last);
        }
    fail(nullptr, "deadlock: %s", text.c_str());
    __builtin_unreachable();
}

// Something happens that no thread does: a block starts, threads that spin look again.
void move_on()
{
    if (!grid.spinners.waiters)
        deadlock();
    if (grid.next_cluster < grid.clusters) {
        cluster_begin();
        return;
    }
    if (++grid.idle_rounds > MAX_IDLE_ROUNDS)
        deadlock();
    schedule_wake(grid.spinners);
}

Fiber *next_fiber()
{
    const uint64_t most = grid.launch->max_switches ? grid.launch->max_switches : MAX_SWITCHES;
    if (++grid.report->switches > most)
        fail(self->wait.site, "still not done after %llu switches between threads",
            (unsigned long long)most);
    if (grid.launch->order == EMU_RANDOM && random_number() % 8 == 0)
        copy_land_one();
    for (;;) {
        if (Fiber *found = choose_any())
            return found;
        if (copy_land_one())
            continue;
        bool alive = false;
        for (auto &cluster : grid.active)
            alive |= cluster->live > 0;
        if (!alive)
            return nullptr;
        move_on();
    }
}

void run(Fiber *next, bool final)
{
    Fiber *from = self;
    if (next == from)
        return;
    self = next;
    me = next ? &next->identity : nullptr;
    context_switch(from ? from->context : grid.host, next ? next->context : grid.host, final);
}

// The running thread has come to its end; who goes on.
Fiber *leave()
{
    const Unseen unseen;
    Fiber &fiber = *self;
    copy_drain(fiber);
    fiber.done = true;
    grid.idle_rounds = 0;
    fiber.block->cluster->live--;
    fiber.block->end.join(fiber.seen);
    fiber.block->end.join(fiber.met);
    if (--fiber.block->live == 0)
        shared_end(*fiber.block), copy_end(*fiber.block);
    set_runnable(fiber, false);
    return next_fiber();
}

void thread_main()
{
    context_entered();
    order_acquire(&grid);
    grid.launch->entry(grid.launch->params);
    order_release(&grid);
    run(leave(), true);
    __builtin_unreachable();
}

} // namespace

void schedule_wait(Waitable &on, const Wait &why)
{
    self->wait = why;
    self->next_waiter = on.waiters;
    on.waiters = self;
    set_runnable(*self, false);
    run(next_fiber(), false);
}

void schedule_wake(Waitable &on)
{
    while (Fiber *fiber = on.waiters) {
        on.waiters = fiber->next_waiter;
        set_runnable(*fiber, true);
    }
}

void schedule_start(Fiber &fiber)
{
    context_start(fiber.context, thread_main);
    set_runnable(fiber, true);
}

void schedule_grid()
{
    context_host(grid.host);
    while (grid.next_cluster < grid.clusters && !grid.stopped) {
        cluster_begin();
        order_release(&grid);
        run(next_fiber(), false);
        order_acquire(&grid);
        while (!grid.active.empty()) {
            cluster_end(std::move(grid.active.back()));
            grid.active.pop_back();
        }
    }
}

void spin()
{
    const Unseen unseen;
    schedule_wait(grid.spinners, {"value in global memory", __builtin_return_address(0)});
}

} // namespace emu
