// emu_clock.h: vector clocks: what a thread knows to have happened.
//
// A clock maps agents (threads of a cluster, and the barriers that copies complete on) to how far
// it has seen them. Threads that left the same barrier know the same: clocks share their chunks
// and are copied when written.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

namespace emu {

class Clock {
  public:
    uint32_t at(uint32_t agent) const
    {
        const uint32_t chunk = agent / CHUNK;
        if (!table_ || chunk >= table_->size() || !(*table_)[chunk])
            return 0;
        return (*table_)[chunk]->at[agent % CHUNK];
    }
    // Knows at least `time` of the agent from now on.
    void raise(uint32_t agent, uint32_t time);
    void join(const Clock &other);
    bool covers(const Clock &other) const;

  private:
    static constexpr uint32_t CHUNK = 32;
    struct Chunk {
        uint32_t at[CHUNK] = {};
    };
    using Table = std::vector<std::shared_ptr<Chunk>>;

    Table &own_table(uint32_t chunks);
    std::shared_ptr<Table> table_;
};

} // namespace emu
