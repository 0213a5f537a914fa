// emu_machine.h: the state of the emulated machine: a grid of clusters of blocks of threads.
//
// Clusters run in turn; inside one all threads are fibers that run until they wait. One host
// thread, one launch at a time. emu_schedule.cpp decides who runs, emu_collective.cpp what the
// barriers do, emu_shared.cpp watches shared memory.
#pragma once
#include "emu.h"
#include "emu_clock.h"
#include "emu_fiber.h"
#include "tuner/emu_launch.h"
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <vector>

namespace emu {

struct Fiber;
struct Block;
struct Cluster;

// Something that threads wait for; who changes it wakes them.
struct Waitable {
    Fiber *waiters = nullptr;
};

// So many arrivals and everybody goes on. What the arrived knew, those who leave know.
struct Barrier : Waitable {
    uint32_t expected = 0, arrived = 0;
    uint64_t generation = 0;
    bool any = false, released_any = false; // of those that arrived, of those that have left
    Clock gathering, released;
};

// One access: who, when by its own clock (0: never), from where.
struct Stamp {
    const void *site;
    uint32_t time, agent; // no padding: stamps are compared as bytes
};

// One in shared memory, that copies complete on (emu_mbarrier.cpp).
struct MBarrier : Waitable {
    uint32_t expected = 0, pending = 0, offset = 0;
    int64_t bytes = 0; // announced and not there, or there and not announced
    uint64_t phase = 0;
    uint32_t agent = 0; // whose writes are the bytes
    Clock gathering, released[2];
    Stamp init = {};
    bool init_fenced = false;
};

// What a thread waits for, in words: "block barrier"; its number and place where it has them.
struct Wait {
    const char *what = nullptr;
    const void *site = nullptr;
    const Barrier *barrier = nullptr;
    const MBarrier *mbarrier = nullptr;
    int64_t number = -1, offset = -1;
};

struct Warp {
    Barrier barrier; // of all kinds of warp collectives
    Sync kind = Sync::WARP;
    const void *site = nullptr; // of the first that arrived
    int first = 0;
    uint64_t slots[2][32] = {};
    uint32_t words[2][32][8] = {};
};

// Copies of one thread that complete in the order of their groups.
struct Stores {
    std::vector<std::function<void()>> open; // of no group yet
    std::deque<std::vector<std::function<void()>>> groups;
};

// Matrix products that a warpgroup has issued (emu_wgmma.cpp).
struct Product {
    uint64_t a, b; // a: 0 where A is held in registers
    int n;
    bool accumulate;
    int type_a, type_b;
    const void *site;
    std::vector<float *> d;                // of each thread
    std::vector<const uint32_t *> held;    // of each thread: its words of A, or NULL
    std::vector<std::vector<float>> aside; // what they held before
};

struct Warpgroup {
    Barrier barrier;
    std::deque<std::vector<Product>> groups;
    std::vector<Product> open;
    std::vector<size_t> issued;    // products of each thread in the open group
    std::vector<size_t> committed; // groups of each thread
    std::vector<uint8_t> fenced;
    size_t first = 0;   // number of groups.front()
    uint32_t agent = 0; // who reads the operands
};

struct Fiber {
    Identity identity;
    Context context;
    Block *block = nullptr;
    uint32_t agent = 0; // its index in the cluster
    uint32_t time = 0;  // goes up when others may learn of what it did
    Clock seen;
    Clock met; // what had come to pass when the cluster met: of no ordinary access
    Fiber *next_waiter = nullptr;
    Wait wait;
    uint64_t cluster_generation = 0;
    bool cluster_arrived = false;
    // What copies and wgmma see of ordinary writes: its own up to a time, and what it knew then.
    uint32_t fenced_time = 0;
    Clock fenced;
    Stores stores;    // of the bulk kind
    Stores cp_asyncs; // into shared memory
    bool done = false;
};

// Of a byte: the last write, and two reads since; of more readers, those that others know of go.
struct ByteShadow {
    Stamp write, reads[2];
};

// An access to shared memory of another block.
struct PeerAccess {
    Stamp stamp;
    uint32_t offset;
};

enum { MAX_NAMED = 16 };

struct Block {
    Cluster *cluster = nullptr;
    uint32_t index[3] = {}, rank = 0, live = 0;
    unsigned char *shared = nullptr;
    Barrier named[MAX_NAMED]; // 0: of the whole block
    std::vector<Warp> warps;
    std::vector<Warpgroup> warpgroups;
    std::map<uint32_t, MBarrier> mbarriers; // by offset
    Clock start, end; // what its threads know when they start, and all of them when they ended
    std::map<uint32_t, PeerAccess> peers; // the last one of each thread of other blocks
    std::vector<ByteShadow> shadow;       // emu_shared.cpp
};

// A copy that has not landed.
struct Flight {
    Block *to;
    Fiber *issuer;
    std::function<void()> land;
};

struct Cluster {
    std::deque<Flight> flights;
    std::vector<Block> blocks;
    std::vector<Fiber> fibers;      // their addresses stay
    std::vector<uint64_t> runnable; // a bit a fiber
    uint32_t live = 0;
    unsigned char *shared = nullptr; // of all blocks, shared_stride apart
    size_t shared_bytes = 0, shared_stride = 0;
    Barrier barrier;
    Clock meeting, met; // of the barrier, whether it orders memory or not
    uint32_t next_agent = 0;
};

struct Grid {
    const emu_launch_args *launch = nullptr;
    emu_report *report = nullptr;
    Context host;
    std::vector<std::unique_ptr<Cluster>> active;
    std::unique_ptr<Cluster> spare; // used again, with its stacks
    uint32_t clusters = 0, next_cluster = 0;
    uint64_t random = 0;
    uint32_t idle_rounds = 0; // of threads that spin, with nobody else running
    Waitable spinners;
    bool stopped = false; // by a finding that ends the launch
};

extern Grid grid;
extern Fiber *self; // who runs; null on the host's stack

// Agents of clocks: threads, then the start of each block, then what else takes part.
inline uint32_t threads_of_cluster()
{
    return grid.launch->threads * grid.launch->cluster;
}

inline uint32_t start_agent(uint32_t rank)
{
    return threads_of_cluster() + rank;
}

// ---- emu_schedule.cpp ------------------------------------------------------------------------

// The running thread stands still until woken.
void schedule_wait(Waitable &on, const Wait &why);
void schedule_wake(Waitable &on);
void schedule_start(Fiber &fiber);
// Runs every thread of the grid to its end or to a report.
void schedule_grid();

// ---- emu_wgmma.cpp ---------------------------------------------------------------------------

void wgmma_begin(Warpgroup &group, uint32_t agent);

// ---- emu_cluster.cpp -------------------------------------------------------------------------

// Makes the next cluster of the grid and appends it to the active ones.
void cluster_begin();
void cluster_end(std::unique_ptr<Cluster> cluster);
void cluster_free(Cluster &cluster);

} // namespace emu
