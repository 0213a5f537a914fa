// emu_fiber.h: stacks that take turns on one host thread: the bare context switch.
//
// Sanitizers are told of every switch. Knows nothing of CUDA. EMU_TSAN: what is linked in has
// ThreadSanitizer; a switch alone orders nothing for it, order_release() and order_acquire() do.
#pragma once
#include <cstddef>
#if !defined(__x86_64__) || defined(EMU_UCONTEXT)
#    define EMU_USE_UCONTEXT 1
#    include <ucontext.h>
#endif

namespace emu {

// A place where execution can stand still. The first one is the host's own stack.
struct Context {
    char *stack = nullptr; // null: the host's
    size_t stack_bytes = 0;
    void *sp = nullptr;
#ifdef EMU_USE_UCONTEXT
    ucontext_t context;
#endif
    void *tsan = nullptr; // the fiber as ThreadSanitizer knows it
};

// A stack to use again and again; the page below it is never there.
void context_make_stack(Context &context);
void context_free_stack(Context &context);

// `entry` begins when the context is switched to; it never returns. Whatever the context did
// before is forgotten.
void context_start(Context &context, void (*entry)());
// First statement of `entry`.
void context_entered();
// Must be called on the host's stack before anything is switched to.
void context_host(Context &host);

// Leaves `from` and goes on in `to`; `final`: `from` is never gone back to as it stands.
void context_switch(Context &from, Context &to, bool final);

// While one lives, ThreadSanitizer does not see what the fiber does: in the runtime, whose state all
// fibers share; the kernel's own accesses are what is looked at.
class Unseen {
  public:
    Unseen();
    ~Unseen();
};

// What was done before a release at a place happened before what is done after an acquire there.
void order_release(void *at);
void order_acquire(void *at);

} // namespace emu
