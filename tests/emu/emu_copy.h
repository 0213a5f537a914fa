// emu_copy.h: the runtime's side of asynchronous copies and of the barriers they complete on.
#pragma once
#include "emu_machine.h"

namespace emu {

// The initialised barrier at a place of shared memory of the cluster; a report when there is none.
MBarrier &mbarrier_at(const void *at, const void *site);
// Goes on to the next phase if nothing is missing.
void mbarrier_complete(MBarrier &bar);
void mbarrier_arrive(MBarrier &bar, const void *site);

// Lets the next copy land; false when none is under way.
bool copy_land_one();
// The block ends: nothing may be under way to it, no barrier may wait for bytes.
void copy_end(Block &block);
// The cluster's own stores are done.
void copy_drain(Fiber &fiber);

} // namespace emu
