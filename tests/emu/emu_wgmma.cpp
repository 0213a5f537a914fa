// Matrix products of a warpgroup: operands in shared memory, named by descriptors.
//
// Issued by all 128 threads, done by the last one that comes to the wait (or, where copies land at
// once, to the commit), for everybody: the threads' accumulators lie on their stacks. Until then they
// read as NaN, and the operands are read from shared memory as it is then.
#include "emu_matrix.h"
#include "emu_report.h"
#include "emu_shared.h"
#include <algorithm>
#include <cmath>

namespace emu {

namespace {

constexpr int THREADS = 128, ROWS = 64, STEP_BYTES = 32;

Warpgroup &group_of_self(const void *site)
{
    const size_t number = (size_t)self->identity.thread / THREADS;
    if (number >= self->block->warpgroups.size())
        fail(site, "wgmma by a warpgroup that is not whole: the block has %u threads",
            grid.launch->threads);
    return self->block->warpgroups[number];
}

size_t lane_of_self()
{
    return (size_t)self->identity.thread % THREADS;
}

// ---- operands -------------------------------------------------------------------------------------

// PTX ISA 9.7.15.5.1: start, strides in sixteens of bytes; bits 62, 63 the swizzle.
struct Operand {
    uint32_t start, leading, stride, pitch, mask;

    explicit Operand(uint64_t descriptor)
        : start((uint32_t)(descriptor & 0x3fff) << 4),
          leading((uint32_t)(descriptor >> 16 & 0x3fff) << 4),
          stride((uint32_t)(descriptor >> 32 & 0x3fff) << 4)
    {
        static const uint32_t PITCH[] = {16, 128, 64, 32}, MASK[] = {0, 7, 3, 1};
        pitch = PITCH[descriptor >> 62];
        mask = MASK[descriptor >> 62];
    }
    // Of 16 bytes of K in a row; K-major.
    uint32_t at(int row, int chunk) const
    {
        const uint32_t k = mask ? (uint32_t)chunk * 16 : (uint32_t)chunk * leading;
        const uint32_t plain =
            start + (uint32_t)(row / 8) * stride + (uint32_t)(row % 8) * pitch + k;
        return plain ^ ((plain >> 7 & mask) << 4);
    }
};

// Rows of one K step as floats; every byte is looked at by the race detector.
std::vector<float> fetch(
    const Operand &operand, int rows, Element type, const Actor &actor, const void *site)
{
    const int size = element_bytes(type), per_chunk = 16 / size, k = STEP_BYTES / size;
    std::vector<float> values((size_t)(rows * k));
    for (int row = 0; row < rows; row++)
        for (int chunk = 0; chunk < STEP_BYTES / 16; chunk++) {
            const uint32_t at = operand.at(row, chunk);
            shared_access_as(actor, *self->block, at, 16, Access::READ, site);
            for (int i = 0; i < per_chunk; i++) {
                uint32_t bits = 0;
                std::memcpy(&bits, self->block->shared + at + i * size, (size_t)size);
                values[(size_t)(row * k + chunk * per_chunk + i)] = element_value(type, bits);
            }
        }
    return values;
}

// A as the threads' registers have it now.
std::vector<float> fetch_held(const Product &product)
{
    enum { STEP = 16 };
    std::vector<float> values((size_t)(ROWS * STEP));
    for (int row = 0; row < ROWS; row++)
        for (int k = 0; k < STEP; k++) {
            const int lane = row / 16 * 32 + row % 8 * 4 + k % 8 / 2;
            const uint32_t word = product.held[(size_t)lane][k / 8 * 2 + row % 16 / 8];
            values[(size_t)(row * STEP + k)] =
                element_value((Element)product.type_a, word >> k % 2 * 16 & 0xffff);
        }
    return values;
}

// ---- products -------------------------------------------------------------------------------------

// Where element (row, column) lies: thread, and its place among the thread's accumulators.
float &accumulator(const Product &product, int row, int column)
{
    const int warp = row / 16, high = row % 16 / 8, lane = row % 8 * 4 + column % 8 / 2;
    return product.d[(size_t)(warp * 32 + lane)][column / 8 * 4 + high * 2 + column % 2];
}

// Adds the product to the values.
void multiply(const Warpgroup &group, const Product &product, std::vector<float> &values)
{
    const Actor actor = {
        group.agent, (uint32_t)group.first + 1, &self->seen, true, &self->fenced, true};
    const Element type_a = (Element)product.type_a, type_b = (Element)product.type_b;
    const int k = STEP_BYTES / element_bytes(type_a);
    const std::vector<float> a = product.held[0]
                                     ? fetch_held(product)
                                     : fetch(Operand(product.a), ROWS, type_a, actor, product.site);
    const std::vector<float> b = fetch(Operand(product.b), product.n, type_b, actor, product.site);
    for (int row = 0; row < ROWS; row++)
        for (int column = 0; column < product.n; column++) {
            float sum = 0;
            for (int i = 0; i < k; i++)
                sum += a[(size_t)(row * k + i)] * b[(size_t)(column * k + i)];
            values[(size_t)(row * product.n + column)] += sum;
        }
}

// Products on the same accumulators follow each other; the first one's input was put aside.
void finish(const Warpgroup &group, Product &product)
{
    std::vector<float> values((size_t)(ROWS * product.n), 0.0f);
    for (size_t lane = 0; lane < THREADS; lane++)
        std::copy(product.aside[lane].begin(), product.aside[lane].end(), product.d[lane]);
    for (int row = 0; row < ROWS && product.accumulate; row++)
        for (int column = 0; column < product.n; column++)
            values[(size_t)(row * product.n + column)] = accumulator(product, row, column);
    multiply(group, product, values);
    for (int row = 0; row < ROWS; row++)
        for (int column = 0; column < product.n; column++)
            accumulator(product, row, column) = values[(size_t)(row * product.n + column)];
}

void meet(Warpgroup &group, const void *site, const std::function<void()> &last)
{
    const uint64_t generation = group.barrier.generation;
    if (group.barrier.arrived + 1 == group.barrier.expected)
        last();
    barrier_sync(group.barrier, generation, {"warpgroup", site});
}

void finish_up_to(Warpgroup &group, size_t pending)
{
    while (group.groups.size() > pending) {
        for (Product &product : group.groups.front())
            finish(group, product);
        group.groups.pop_front();
        group.first++;
    }
}

// Whether a product that is not done already works on these accumulators.
bool is_busy(const Warpgroup &group, size_t lane, const float *d)
{
    for (const auto &products : group.groups)
        for (const Product &product : products)
            if (product.d[lane] == d)
                return true;
    for (const Product &product : group.open)
        if (product.d[lane] == d)
            return true;
    return false;
}

} // namespace

void wgmma_begin(Warpgroup &group, uint32_t agent)
{
    group = Warpgroup();
    group.agent = agent;
    group.barrier.expected = THREADS;
    group.issued.assign(THREADS, 0);
    group.committed.assign(THREADS, 0);
    group.fenced.assign(THREADS, 0);
}

static void issue(float *d, const uint32_t *held, const Product &whole)
{
    const void *site = whole.site;
    Warpgroup &group = group_of_self(site);
    const size_t lane = lane_of_self(), number = group.issued[lane]++;
    if (!group.fenced[lane])
        report("wgmma fence", site,
            "multiplies without a wgmma fence since its accumulators were "
            "last its own");
    const bool busy = is_busy(group, lane, d);
    if (number == group.open.size())
        group.open.push_back(whole);
    Product &product = group.open[number];
    if (product.a != whole.a || product.b != whole.b || product.accumulate != whole.accumulate)
        fail(site, "names other operands than the rest of its warpgroup");
    product.d[lane] = d;
    product.held[lane] = held;
    if (busy)
        return;
    product.aside[lane].assign(d, d + whole.n / 2);
    std::fill(d, d + whole.n / 2, NAN);
}

static Product product_of(uint64_t a, uint64_t b, int n, bool accumulate, Element type_a,
    Element type_b, const void *site)
{
    return {a, b, n, accumulate, type_a, type_b, site, std::vector<float *>(THREADS, nullptr),
        std::vector<const uint32_t *>(THREADS, nullptr), std::vector<std::vector<float>>(THREADS)};
}

void wgmma(float *d, int n, uint64_t a, uint64_t b, bool accumulate, Element type_a, Element type_b)
{
    const Unseen unseen;
    issue(d, nullptr, product_of(a, b, n, accumulate, type_a, type_b, __builtin_return_address(0)));
}

void wgmma_held(float *d, int n, const uint32_t (&a)[4], uint64_t b, bool accumulate, Element type)
{
    const Unseen unseen;
    issue(d, a, product_of(0, b, n, accumulate, type, type, __builtin_return_address(0)));
}

void wgmma_fence()
{
    const Unseen unseen;
    Warpgroup &group = group_of_self(__builtin_return_address(0));
    group.fenced[lane_of_self()] = 1;
}

void wgmma_commit()
{
    const Unseen unseen;
    const void *site = __builtin_return_address(0);
    Warpgroup &group = group_of_self(site);
    meet(group, site, [&] {
        group.groups.push_back(std::move(group.open));
        group.open.clear();
        group.issued.assign(THREADS, 0);
        if (!grid.launch->late_copies)
            finish_up_to(group, 0);
    });
}

void wgmma_wait(int pending)
{
    const Unseen unseen;
    const void *site = __builtin_return_address(0);
    Warpgroup &group = group_of_self(site);
    if (grid.launch->late_copies)
        copy_land_one(); // what may change under the products does so now
    meet(group, site, [&] { finish_up_to(group, (size_t)pending); });
    group.fenced[lane_of_self()] = 0;
    self->seen.raise(group.agent, (uint32_t)group.first);
}

} // namespace emu
