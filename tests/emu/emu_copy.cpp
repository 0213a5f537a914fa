// Asynchronous copies: TMA tiles with their swizzles, bulk copies, cp.async.
//
// A launch lets them land at once or as late as they may: when nobody can run, or when somebody
// waits for them. Both are legal; a kernel that is right cannot tell.
#include "emu_copy.h"
#include "emu_report.h"
#include "emu_shared.h"

namespace emu {

namespace {

// For the duration of a landing the issuer is who acts: findings are its.
class As {
  public:
    explicit As(Fiber *fiber) : before_(self)
    {
        self = fiber;
    }
    ~As()
    {
        self = before_;
    }

  private:
    Fiber *before_;
};

// What the issuer knew when it issued.
Clock knowledge()
{
    Clock seen = self->seen;
    seen.raise(self->agent, self->time);
    return seen;
}

Actor asynchronous(uint32_t agent, uint32_t time, const Clock *seen)
{
    return {agent, time, seen, true, &self->fenced};
}

// ---- tiles ----------------------------------------------------------------------------------------

// CU_TENSOR_MAP_SWIZZLE_…: which 16 bytes of a span of 32, 64 or 128 change places.
uint32_t swizzled(uint32_t offset, int mode)
{
    static const uint32_t MASK[] = {0, 1, 3, 7};
    return offset ^ ((offset >> 7 & MASK[mode]) << 4);
}

struct Tile {
    emu_tensor_map map;
    int64_t at[5];

    size_t row_bytes() const
    {
        return (size_t)map.box[0] * map.elem_bytes;
    }
    size_t rows() const
    {
        size_t n = 1;
        for (int d = 1; d < map.rank; d++)
            n *= map.box[d];
        return n;
    }
    // The part of a row that lies in the tensor: its place, first and last element in the box.
    unsigned char *row(size_t number, int64_t &first, int64_t &end) const
    {
        unsigned char *place = reinterpret_cast<unsigned char *>(map.base);
        bool inside = true;
        for (int d = 1; d < map.rank; d++) {
            const int64_t i = at[d] + (int64_t)(number % map.box[d]);
            number /= map.box[d];
            inside &= i >= 0 && (uint64_t)i < map.dims[d];
            place += i * (int64_t)map.strides[d - 1];
        }
        first = std::max<int64_t>(0, -at[0]);
        end = std::min<int64_t>(map.box[0], (int64_t)map.dims[0] - at[0]);
        if (!inside || end < first)
            end = first;
        return place + at[0] * map.elem_bytes;
    }
};

Tile tile_of(const void *map, const int *at, int rank, const void *shared, const void *site)
{
    Tile tile = {};
    std::memcpy(&tile.map, map, sizeof tile.map);
    if (tile.map.magic != EMU_TENSOR_MAP_MAGIC)
        fail(site, "a tensor map that the host did not encode");
    if (tile.map.rank != rank)
        fail(site, "%d coordinates for a tensor map of rank %d", rank, tile.map.rank);
    if (shared_address(shared) % 128)
        fail(site, "a tile at +0x%x of shared memory: a multiple of 128 bytes",
            shared_address(shared));
    for (int d = 0; d < rank; d++)
        tile.at[d] = at[d];
    return tile;
}

// Runs of bytes of a tile's row that stay together under the swizzle.
template <class Visit> void each_run(const Tile &tile, uint32_t offset, Visit visit)
{
    const size_t step = tile.map.swizzle ? 16 : tile.row_bytes();
    for (size_t i = 0; i < tile.row_bytes(); i += step)
        visit(swizzled(offset + (uint32_t)i, tile.map.swizzle), i,
            std::min(step, tile.row_bytes() - i));
}

void land_tile(
    const Tile &tile, Block &block, uint32_t offset, const Actor &actor, const void *site)
{
    std::vector<unsigned char> row(tile.row_bytes());
    for (size_t r = 0; r < tile.rows(); r++) {
        int64_t first, end;
        const unsigned char *from = tile.row(r, first, end);
        const size_t skip = (size_t)first * tile.map.elem_bytes,
                     bytes = (size_t)(end - first) * tile.map.elem_bytes;
        std::fill(row.begin(), row.end(), tile.map.fill_nan ? 0xff : 0);
        if (bytes) {
            global_access(from + skip, bytes, Access::READ, site);
            std::memcpy(row.data() + skip, from + skip, bytes);
        }
        each_run(
            tile, offset + (uint32_t)(r * tile.row_bytes()), [&](uint32_t to, size_t i, size_t n) {
                shared_access_as(actor, block, to, n, Access::WRITE, site);
                std::memcpy(block.shared + to, row.data() + i, n);
            });
    }
}

void store_tile(const Tile &tile, uint32_t offset, const Actor &actor, const void *site)
{
    std::vector<unsigned char> row(tile.row_bytes());
    for (size_t r = 0; r < tile.rows(); r++) {
        int64_t first, end;
        unsigned char *to = tile.row(r, first, end);
        const size_t skip = (size_t)first * tile.map.elem_bytes,
                     bytes = (size_t)(end - first) * tile.map.elem_bytes;
        each_run(tile, offset + (uint32_t)(r * tile.row_bytes()),
            [&](uint32_t from, size_t i, size_t n) {
                if (i < skip + bytes && i + n > skip)
                    shared_access_as(actor, *self->block, from, n, Access::READ, site);
                std::memcpy(row.data() + i, self->block->shared + from, n);
            });
        if (!bytes)
            continue;
        global_access(to + skip, bytes, Access::WRITE, site);
        std::memcpy(to + skip, row.data() + skip, bytes);
    }
}

// ---- what is under way ----------------------------------------------------------------------------

void launch_copy(Block &to, std::function<void()> land)
{
    if (!grid.launch->late_copies) {
        land();
        return;
    }
    to.cluster->flights.push_back({&to, self, std::move(land)});
}

// The bytes come to a barrier of the block they go to.
template <class Land> void load(Block &to, MBarrier &bar, uint32_t bytes, Land write)
{
    auto seen = std::make_shared<Clock>(knowledge());
    launch_copy(to, [=, &bar] {
        write(asynchronous(bar.agent, (uint32_t)bar.phase + 1, seen.get()));
        bar.bytes -= bytes;
        order_release(&bar);
        mbarrier_complete(bar);
    });
}

void store(std::function<void(const Actor &)> move)
{
    auto seen = std::make_shared<Clock>(knowledge());
    Fiber *issuer = self;
    auto run = [=] {
        As as(issuer);
        move(asynchronous(issuer->agent, issuer->time, seen.get()));
    };
    if (grid.launch->late_copies)
        self->stores.open.push_back(run);
    else
        run(), self->stores.open.push_back([] {});
}

void commit(Stores &stores)
{
    stores.groups.push_back(std::move(stores.open));
    stores.open.clear();
}

void wait(Stores &stores, int pending)
{
    while (stores.groups.size() > (size_t)pending) {
        for (const auto &move : stores.groups.front())
            move();
        stores.groups.pop_front();
    }
}

} // namespace

void fence_async()
{
    const Unseen unseen;
    self->fenced = self->seen;
    self->fenced.raise(self->agent, self->time);
    self->fenced_time = self->time++;
}

void tensor_load(void *to, const void *map, void *bar, const int *at, int rank, uint32_t mask)
{
    const Unseen unseen;
    const void *site = __builtin_return_address(0);
    Cluster &cluster = *self->block->cluster;
    const Tile tile = tile_of(map, at, rank, to, site);
    const uint32_t offset = shared_address(to), bytes = (uint32_t)(tile.rows() * tile.row_bytes());
    for (Block &block : cluster.blocks) {
        const bool wanted = mask ? mask >> block.rank & 1 : &block == self->block;
        if (!wanted)
            continue;
        MBarrier &own = mbarrier_at(cluster_map(bar, (int)block.rank), site);
        Block *target = &block;
        load(block, own, bytes,
            [=](const Actor &actor) { land_tile(tile, *target, offset, actor, site); });
    }
}

void tensor_store(const void *map, const void *from, const int *at, int rank)
{
    const Unseen unseen;
    const void *site = __builtin_return_address(0);
    const Tile tile = tile_of(map, at, rank, from, site);
    const uint32_t offset = shared_address(from);
    store([=](const Actor &actor) { store_tile(tile, offset, actor, site); });
}

void bulk_load(void *to, const void *from, uint32_t bytes, void *bar)
{
    const Unseen unseen;
    const void *site = __builtin_return_address(0);
    const uint32_t offset = shared_address(to);
    Block *block = self->block;
    if ((uintptr_t)from % 16 || offset % 16 || bytes % 16)
        fail(site, "a bulk copy of %u bytes to +0x%x: multiples of 16", bytes, offset);
    load(*block, mbarrier_at(bar, site), bytes, [=](const Actor &actor) {
        global_access(from, bytes, Access::READ, site);
        shared_access_as(actor, *block, offset, bytes, Access::WRITE, site);
        std::memcpy(block->shared + offset, from, bytes);
    });
}

void bulk_store(void *to, const void *from, uint32_t bytes)
{
    const Unseen unseen;
    const void *site = __builtin_return_address(0);
    const uint32_t offset = shared_address(from);
    if ((uintptr_t)to % 16 || offset % 16 || bytes % 16)
        fail(site, "a bulk copy of %u bytes from +0x%x: multiples of 16", bytes, offset);
    store([=](const Actor &actor) {
        shared_access_as(actor, *self->block, offset, bytes, Access::READ, site);
        global_access(to, bytes, Access::WRITE, site);
        std::memcpy(to, self->block->shared + offset, bytes);
    });
}

void bulk_commit()
{
    const Unseen unseen;
    commit(self->stores);
}

void bulk_wait(int pending, bool read_only)
{
    const Unseen unseen;
    (void)read_only; // what is read is written at once
    wait(self->stores, pending);
}

void cp_async(void *to, const void *from, uint32_t width, uint32_t bytes)
{
    const Unseen unseen;
    const void *site = __builtin_return_address(0);
    const uint32_t offset = shared_address(to);
    if (offset % width || (uintptr_t)from % width)
        fail(site, "a copy of %u bytes to +0x%x that is not aligned", width, offset);
    auto move = [=] {
        shared_access(to, width, Access::WRITE, site);
        if (bytes)
            global_access(from, bytes, Access::READ, site);
        std::memset(to, 0, width);
        std::memcpy(to, from, bytes);
    };
    if (grid.launch->late_copies)
        self->cp_asyncs.open.push_back(move);
    else
        move();
}

void cp_async_commit()
{
    const Unseen unseen;
    commit(self->cp_asyncs);
}

void cp_async_wait(int pending)
{
    const Unseen unseen;
    wait(self->cp_asyncs, pending);
}

// The thread's copies so far land together, and one arrival with them: it tells what was known here.
// (That later waits of the thread for its groups do not see them is stricter than the hardware.)
void cp_async_arrive(void *bar)
{
    const Unseen unseen;
    const void *site = __builtin_return_address(0);
    MBarrier &own = mbarrier_at(bar, site);
    commit(self->cp_asyncs);
    auto copies = std::make_shared<Stores>(std::move(self->cp_asyncs));
    self->cp_asyncs = Stores();
    launch_copy(*self->block, [=, &own] {
        wait(*copies, 0);
        mbarrier_arrive(own, site);
    });
}

bool copy_land_one()
{
    const bool last_first =
        grid.launch->order == EMU_REVERSE || grid.launch->order == EMU_WARP_REVERSE;
    for (auto &cluster : grid.active) {
        auto &flights = cluster->flights;
        if (flights.empty())
            continue;
        Flight flight = std::move(last_first ? flights.back() : flights.front());
        if (last_first)
            flights.pop_back();
        else
            flights.pop_front();
        As as(flight.issuer);
        flight.land();
        return true;
    }
    return false;
}

void copy_drain(Fiber &fiber)
{
    if (!fiber.stores.groups.empty() || !fiber.stores.open.empty())
        report("stores", fiber.wait.site,
            "the thread ends while %zu of its groups of stores may still read shared memory",
            fiber.stores.groups.size() + !fiber.stores.open.empty());
    commit(fiber.stores);
    wait(fiber.stores, 0);
    commit(fiber.cp_asyncs);
    wait(fiber.cp_asyncs, 0);
}

void copy_end(Block &block)
{
    for (const Flight &flight : block.cluster->flights)
        if (flight.to == &block) {
            report("flight", nullptr,
                "the block ends while a copy into its shared memory is under way");
            break;
        }
    for (const auto &entry : block.mbarriers)
        if (entry.second.bytes)
            report("bytes", entry.second.init.site,
                "the block ends with %lld bytes %s at the mbarrier at +0x%x",
                (long long)std::llabs(entry.second.bytes),
                entry.second.bytes > 0 ? "announced and never brought"
                                       : "brought and never announced",
                entry.first);
}

} // namespace emu
