// Vector clocks (see emu_clock.h). Only builds that trace accesses keep them.
#include "emu_clock.h"
#include <algorithm>
#include <functional>

namespace emu {

#ifdef EMU_TRACE
static constexpr bool KEPT = true;
#else
static constexpr bool KEPT = false;
#endif

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
    if (!KEPT || at(agent) >= time)
        return;
    std::shared_ptr<Chunk> &chunk = own_table(agent / CHUNK + 1)[agent / CHUNK];
    if (!chunk)
        chunk = std::make_shared<Chunk>();
    else if (chunk.use_count() > 1)
        chunk = std::make_shared<Chunk>(*chunk);
    chunk->at[agent % CHUNK] = time;
}

bool Clock::covers(const Clock &other) const
{
    if (!other.table_ || other.table_ == table_)
        return true;
    for (size_t i = 0; i < other.table_->size(); i++) {
        const Chunk *theirs = (*other.table_)[i].get();
        const Chunk *ours = table_ && i < table_->size() ? (*table_)[i].get() : nullptr;
        if (theirs && theirs != ours &&
            !(ours && std::equal(ours->at, ours->at + CHUNK, theirs->at, std::greater_equal<>())))
            return false;
    }
    return true;
}

// Most joins are with a clock that knows everything: then it is shared, not copied.
void Clock::join(const Clock &other)
{
    if (!KEPT || covers(other))
        return;
    if (other.covers(*this)) {
        table_ = other.table_;
        return;
    }
    const Table &from = *other.table_;
    Table &to = own_table((uint32_t)from.size());
    for (size_t i = 0; i < from.size(); i++) {
        if (!from[i] || to[i] == from[i])
            continue;
        auto joined = std::make_shared<Chunk>(*from[i]);
        for (uint32_t k = 0; k < CHUNK && to[i]; k++)
            joined->at[k] = std::max(joined->at[k], to[i]->at[k]);
        to[i] = std::move(joined);
    }
}

} // namespace emu
