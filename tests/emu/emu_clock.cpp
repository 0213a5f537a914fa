// Vector clocks (see emu_clock.h).
#include "emu_clock.h"
#include <algorithm>

namespace emu {

uint32_t Clock::at(uint32_t agent) const
{
    const uint32_t chunk = agent / CHUNK;
    if (!table_ || chunk >= table_->size() || !(*table_)[chunk])
        return 0;
    return (*table_)[chunk]->at[agent % CHUNK];
}

Clock::Table &Clock::own_table(uint32_t chunks)
{
    if (!table_)
        table_ = std::make_shared<Table>(chunks);
    else if (table_.use_count() > 1)
        table_ = std::make_shared<Table>(*table_);
    if (table_->size() < chunks)
        table_->resize(chunks);
    return *table_;
}

void Clock::raise(uint32_t agent, uint32_t time)
{
    if (at(agent) >= time)
        return;
    std::shared_ptr<Chunk> &chunk = own_table(agent / CHUNK + 1)[agent / CHUNK];
    if (!chunk)
        chunk = std::make_shared<Chunk>();
    else if (chunk.use_count() > 1)
        chunk = std::make_shared<Chunk>(*chunk);
    chunk->at[agent % CHUNK] = time;
}

void Clock::join(const Clock &other)
{
    if (!other.table_ || other.table_ == table_)
        return;
    if (!table_) {
        table_ = other.table_;
        return;
    }
    const Table &from = *other.table_;
    for (uint32_t i = 0; i < from.size(); i++) {
        if (!from[i] || (i < table_->size() && (*table_)[i] == from[i]))
            continue;
        std::shared_ptr<Chunk> &to = own_table((uint32_t)from.size())[i];
        if (!to) {
            to = from[i];
            continue;
        }
        const Chunk &a = *to, &b = *from[i];
        if (std::equal(a.at, a.at + CHUNK, b.at, [](uint32_t x, uint32_t y) { return x >= y; }))
            continue;
        auto joined = std::make_shared<Chunk>();
        for (uint32_t k = 0; k < CHUNK; k++)
            joined->at[k] = std::max(a.at[k], b.at[k]);
        to = std::move(joined);
    }
}

} // namespace emu
