// Every access that a variant compiled with -fsanitize=thread makes comes here: the compiler calls
// these functions, of which ThreadSanitizer's own library would be the usual owner.
#include "emu_shared.h"

#ifdef EMU_TRACE

namespace emu {

namespace {

// Registers and locals lie on the fiber's stack; what is in no arena is constants.
inline void access(const void *at, size_t bytes, Access kind, const void *site)
{
    if (!self)
        return;
    const Fiber &fiber = *self;
    const uintptr_t address = (uintptr_t)at;
    if (address - (uintptr_t)fiber.context.stack < fiber.context.stack_bytes)
        return;
    const Cluster &cluster = *fiber.block->cluster;
    if (address - (uintptr_t)cluster.shared < cluster.shared_bytes)
        shared_access(at, bytes, kind, site);
    else if (address - grid.launch->arena < grid.launch->arena_bytes)
        global_access(at, bytes, kind, site);
}

} // namespace

} // namespace emu

#    define TRACE(bytes)                                                                           \
        void __tsan_read##bytes(void *at)                                                          \
        {                                                                                          \
            emu::access(at, bytes, emu::Access::READ, __builtin_return_address(0));                \
        }                                                                                          \
        void __tsan_write##bytes(void *at)                                                         \
        {                                                                                          \
            emu::access(at, bytes, emu::Access::WRITE, __builtin_return_address(0));               \
        }                                                                                          \
        void __tsan_unaligned_read##bytes(void *at)                                                \
        {                                                                                          \
            emu::access(at, bytes, emu::Access::READ, __builtin_return_address(0));                \
        }                                                                                          \
        void __tsan_unaligned_write##bytes(void *at)                                               \
        {                                                                                          \
            emu::access(at, bytes, emu::Access::WRITE, __builtin_return_address(0));               \
        }                                                                                          \
        void __tsan_volatile_read##bytes(void *at)                                                 \
        {                                                                                          \
            emu::access(at, bytes, emu::Access::READ, __builtin_return_address(0));                \
        }                                                                                          \
        void __tsan_volatile_write##bytes(void *at)                                                \
        {                                                                                          \
            emu::access(at, bytes, emu::Access::WRITE, __builtin_return_address(0));               \
        }

extern "C" {
TRACE(1)
TRACE(2)
TRACE(4)
TRACE(8)
TRACE(16)

void __tsan_read_range(void *at, unsigned long bytes)
{
    emu::access(at, bytes, emu::Access::READ, __builtin_return_address(0));
}

void __tsan_write_range(void *at, unsigned long bytes)
{
    emu::access(at, bytes, emu::Access::WRITE, __builtin_return_address(0));
}

void __tsan_init() {}
void __tsan_func_entry(void *) {}
void __tsan_func_exit() {}
}

#endif
