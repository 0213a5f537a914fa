// emu_shared.h: who touched which byte of a block's shared memory last, and whether others knew.
//
// Happens-before by vector clocks: an access races with an earlier one of another thread unless a
// chain of barriers leads from that one to this. Only in builds that trace every access
// (EMU_TRACE); in others these calls do nothing.
#pragma once
#include "emu_machine.h"

namespace emu {

#ifdef EMU_TRACE
constexpr bool TRACED = true;
#else
constexpr bool TRACED = false;
#endif

enum class Access { READ, WRITE };

inline const char *verb(Access access)
{
    return access == Access::READ ? "read" : "write";
}

// Forgets what an earlier block did.
void shared_begin(Block &block);
// The block's last thread ends: whatever a peer did there must have happened before.
void shared_end(Block &block);

// Who acts: a thread, or a copy that one issued.
struct Actor {
    uint32_t agent, time;
    const Clock *seen;
    bool asynchronous;   // sees of ordinary writes only what was fenced
    const Clock *fenced; // by the issuer, after it knew of them
    // A product: rows of a tile that nobody wrote come to rows of the sums, NaN, that are not stored.
    bool of_rows = false;
};
void shared_access_as(const Actor &actor, Block &block, uint32_t offset, size_t bytes,
    Access access, const void *site);

// An access by the running thread to shared memory of its cluster.
void shared_access(const void *at, size_t bytes, Access access, const void *site);

// The running thread touches shared memory of another block: it must be there, then and at the end.
void peer_access(Block &owner, uint32_t offset, const void *site);

// An access to global memory: inside an operand, and allowed there.
void global_access(const void *at, size_t bytes, Access access, const void *site);

} // namespace emu
