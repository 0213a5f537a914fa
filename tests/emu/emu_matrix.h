// emu_matrix.h: the runtime's side of matrix instructions.
#pragma once
#include "emu_copy.h"
#include "emu_machine.h"

namespace emu {

inline int element_bytes(Element type)
{
    return type == ELEMENT_F16 || type == ELEMENT_BF16 ? 2 : 1;
}

// Arrives and waits; orders no memory. The generation is that before the call.
void barrier_sync(Barrier &barrier, uint64_t generation, const Wait &why);

} // namespace emu
