// Context switches (see emu_fiber.h).
#include "emu_fiber.h"
#include <cstdint>
#include <cstdlib>
#include <sys/mman.h>
#include <vector>
#if defined(__SANITIZE_ADDRESS__)
#    include <sanitizer/asan_interface.h>
#    include <sanitizer/common_interface_defs.h>
#endif
#if defined(EMU_TSAN)
#    include <sanitizer/tsan_interface.h>
extern "C" {
void AnnotateIgnoreReadsBegin(const char *file, int line); // and writes
void AnnotateIgnoreReadsEnd(const char *file, int line);
}
#endif

namespace emu {

namespace {

// Linux maps 65530 regions a process: a stack with a guard is two of them, stacks without are one.
constexpr size_t STACK_BYTES = 128 * 1024, GUARD_BYTES = 4096, GUARDED_STACKS = 16384;

std::vector<char *> spare_stacks;
size_t stacks;

#if defined(__SANITIZE_ADDRESS__)
const void *host_bottom;
size_t host_bytes;
#endif

#ifndef EMU_USE_UCONTEXT
// Pushes what the ABI lets a callee keep, changes stacks, pops the other's.
__attribute__((naked, noinline)) void swap_stacks(void **, void *)
{
    __asm__("pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15;"
            "movq %rsp, (%rdi); movq %rsi, %rsp;"
            "popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp; ret");
}
#endif

} // namespace

void context_make_stack(Context &context)
{
    context.stack_bytes = STACK_BYTES;
    if (!spare_stacks.empty()) {
        context.stack = spare_stacks.back();
        spare_stacks.pop_back();
        return;
    }
    void *at = mmap(nullptr, GUARD_BYTES + STACK_BYTES, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED || (stacks++ < GUARDED_STACKS && mprotect(at, GUARD_BYTES, PROT_NONE)))
        abort();
    context.stack = static_cast<char *>(at) + GUARD_BYTES;
}

void context_free_stack(Context &context)
{
#if defined(EMU_TSAN)
    if (context.tsan)
        __tsan_destroy_fiber(context.tsan);
#endif
    if (context.stack)
        spare_stacks.push_back(context.stack);
    context = Context();
}

void context_start(Context &context, void (*entry)())
{
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(context.stack, context.stack_bytes);
#endif
#if defined(EMU_TSAN)
    if (!context.tsan) // costly; all that a block did happened before the next one starts
        context.tsan = __tsan_create_fiber(0);
#endif
#ifdef EMU_USE_UCONTEXT
    getcontext(&context.context);
    context.context.uc_stack.ss_sp = context.stack;
    context.context.uc_stack.ss_size = context.stack_bytes;
    context.context.uc_link = nullptr;
    makecontext(&context.context, entry, 0);
#else
    // As if it had been switched away from just before its first instruction: aligned as after a
    // call, six registers of zero.
    void **sp = reinterpret_cast<void **>(context.stack + context.stack_bytes);
    *--sp = nullptr;
    *--sp = reinterpret_cast<void *>(entry);
    for (int i = 0; i < 6; i++)
        *--sp = nullptr;
    context.sp = sp;
#endif
}

void context_entered()
{
#if defined(__SANITIZE_ADDRESS__)
    const void *bottom;
    size_t bytes;
    __sanitizer_finish_switch_fiber(nullptr, &bottom, &bytes);
    if (!host_bottom) {
        host_bottom = bottom;
        host_bytes = bytes;
    }
#endif
}

void context_host(Context &host)
{
    host = Context();
#if defined(__SANITIZE_ADDRESS__)
    host_bottom = nullptr;
#endif
#if defined(EMU_TSAN)
    host.tsan = __tsan_get_current_fiber();
#endif
}

void context_switch(Context &from, Context &to, bool final)
{
#if defined(__SANITIZE_ADDRESS__)
    void *fake = nullptr;
    __sanitizer_start_switch_fiber(final ? nullptr : &fake, to.stack ? to.stack : host_bottom,
        to.stack ? to.stack_bytes : host_bytes);
#else
    (void) final;
#endif
#if defined(EMU_TSAN)
    __tsan_switch_to_fiber(to.tsan, __tsan_switch_to_fiber_no_sync);
#endif
#ifdef EMU_USE_UCONTEXT
    swapcontext(&from.context, &to.context);
#else
    swap_stacks(&from.sp, to.sp);
#endif
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
}

Unseen::Unseen()
{
#if defined(EMU_TSAN)
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
#endif
}

Unseen::~Unseen()
{
#if defined(EMU_TSAN)
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
#endif
}

void order_release(void *at)
{
    (void)at;
#if defined(EMU_TSAN)
    __tsan_release(at);
#endif
}

void order_acquire(void *at)
{
    (void)at;
#if defined(EMU_TSAN)
    __tsan_acquire(at);
#endif
}

} // namespace emu
