// The race detector (see emu_shared.h).
#include "emu_shared.h"
#include "emu_report.h"
#include <cstring>

namespace emu {

namespace {

bool ordered(const Actor &actor, const Stamp &earlier)
{
    const bool own = earlier.agent == actor.agent && !actor.asynchronous;
    return !earlier.time || own || actor.seen->at(earlier.agent) >= earlier.time;
}

// An ordinary write that a copy or wgmma may not see, and that may come after a copy's: no fence on the
// way.
bool hidden(const Actor &actor, const Stamp &write)
{
    if (!actor.asynchronous || !write.time || write.agent >= threads_of_cluster())
        return false;
    const Fiber &writer = self->block->cluster->fibers[write.agent];
    return writer.fenced_time < write.time && actor.fenced->at(write.agent) < write.time;
}

bool same(const ByteShadow &a, const ByteShadow &b)
{
    static_assert(sizeof a == 3 * (sizeof(void *) + 2 * sizeof(uint32_t)), "no padding");
    return !memcmp(&a, &b, sizeof a);
}

std::string agent_name(const Stamp &stamp)
{
    if (stamp.agent < threads_of_cluster())
        return thread_name(self->block->cluster->fibers[stamp.agent]);
    return "an asynchronous copy or wgmma";
}

void race(const Stamp &earlier, Access before, Access now, uint32_t offset, const void *site)
{
    report("race", site,
        "race on shared memory +0x%x: this %s and the %s by %s at %s have no "
        "barrier between them",
        offset, verb(now), verb(before), agent_name(earlier).c_str(),
        source_line(earlier.site).c_str());
}

void note_read(ByteShadow &shadow, const Actor &actor, const Stamp &now)
{
    Stamp *reads = shadow.reads;
    const bool second = reads[1].agent == now.agent && reads[1].time;
    const bool first = reads[0].agent == now.agent || ordered(actor, reads[0]);
    reads[!first || second ? 1 : 0] = now;
}

void judge(
    const ByteShadow &shadow, const Actor &actor, Access access, uint32_t offset, const void *site)
{
    if (access == Access::READ && !shadow.write.time && !actor.of_rows)
        report("uninitialised", site, "reads shared memory +0x%x, which nobody wrote", offset);
    if (access == Access::READ && hidden(actor, shadow.write))
        report("fence", site,
            "a copy or wgmma reads shared memory +0x%x, written by %s at %s: no fence for the "
            "asynchronous proxy between them",
            offset, agent_name(shadow.write).c_str(), source_line(shadow.write.site).c_str());
    if (access == Access::WRITE && hidden(actor, shadow.write))
        report("fence", site,
            "a copy writes shared memory +0x%x after %s at %s: no fence for the asynchronous proxy "
            "between them",
            offset, agent_name(shadow.write).c_str(), source_line(shadow.write.site).c_str());
    if (!ordered(actor, shadow.write))
        race(shadow.write, Access::WRITE, access, offset, site);
    for (const Stamp &read : shadow.reads)
        if (access == Access::WRITE && !ordered(actor, read))
            race(read, Access::READ, access, offset, site);
}

} // namespace

void shared_begin(Block &block)
{
    if (TRACED)
        block.shadow.assign(grid.launch->smem_bytes, ByteShadow{});
    block.peers.clear();
    block.end = Clock();
}

void peer_access(Block &owner, uint32_t offset, const void *site)
{
    const uint32_t start = start_agent(owner.rank);
    if (TRACED && self->seen.at(start) < 1 && self->met.at(start) < 1)
        report("peer", site,
            "touches shared memory of block %u of its cluster, which may not "
            "have started: no cluster barrier since the start",
            owner.rank);
    else if (!owner.live)
        fail(site, "touches shared memory of block %u of its cluster, which has ended", owner.rank);
    owner.peers[self->agent] = {{site, self->time, self->agent}, offset};
}

void shared_end(Block &block)
{
    for (const auto &entry : block.peers) {
        const Stamp &stamp = entry.second.stamp;
        if (!TRACED || block.end.at(stamp.agent) >= stamp.time)
            continue;
        report("end", stamp.site,
            "the block ends while %s may still touch its shared memory (+0x%x) at %s: no "
            "cluster barrier between them",
            agent_name(stamp).c_str(), entry.second.offset, source_line(stamp.site).c_str());
        return;
    }
}

void shared_access_as(const Actor &actor, Block &block, uint32_t offset, size_t bytes,
    Access access, const void *site)
{
    if (offset + bytes > grid.launch->smem_bytes)
        fail(site, "%ss %zu bytes at +0x%x of shared memory; the block has 0x%x (SMEM_BYTES)",
            verb(access), bytes, offset, grid.launch->smem_bytes);
    if (!TRACED)
        return;
    const Stamp now = {site, actor.time, actor.agent};
    // What the last byte judged had and has now: a run of equal ones is judged once.
    ByteShadow before = {}, after = {};
    for (size_t i = offset; i < offset + bytes; i++) {
        ByteShadow &shadow = block.shadow[i];
        if (i == offset || !same(shadow, before)) {
            judge(shadow, actor, access, (uint32_t)i, site);
            before = after = shadow;
            if (access == Access::READ)
                note_read(after, actor, now);
            else
                after = {now, {}};
        }
        shadow = after;
    }
}

void shared_access(const void *at, size_t bytes, Access access, const void *site)
{
    Cluster &cluster = *self->block->cluster;
    const unsigned char *place = static_cast<const unsigned char *>(at);
    Block *owner = self->block;
    if ((size_t)(place - owner->shared) >= cluster.shared_stride) {
        owner = &cluster.blocks[(size_t)(place - cluster.shared) / cluster.shared_stride];
        peer_access(*owner, (uint32_t)(place - owner->shared), site);
    }
    shared_access_as({self->agent, self->time, &self->seen, false, nullptr}, *owner,
        (uint32_t)(place - owner->shared), bytes, access, site);
}

} // namespace emu
