// One launch: checks it as the driver would, runs it, and turns a signal into a report.
#include "tuner/emu_launch.h"
#include "emu_machine.h"
#include "emu_report.h"
#include <csignal>
#include <cstdlib>
#include <initializer_list>
#include <sys/time.h>

namespace emu {

void report_begin();

namespace {

constexpr int CPU_SECONDS = 60;
constexpr size_t SIGNAL_STACK_BYTES = 64 * 1024;

#if defined(__SANITIZE_ADDRESS__) || defined(EMU_TSAN)
constexpr int CAUGHT[] = {SIGVTALRM}; // the others are the sanitizer's
#else
constexpr int CAUGHT[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGVTALRM};
#endif

struct sigaction before[64];

int cpu_seconds()
{
    return grid.launch->cpu_seconds ? (int)grid.launch->cpu_seconds : CPU_SECONDS;
}

// Leaves the signal's stack for good, as longjmp() would.
void on_signal(int number, siginfo_t *info, void *context)
{
    const void *site = nullptr;
#if defined(__x86_64__)
    const ucontext_t *at = static_cast<ucontext_t *>(context);
    site = reinterpret_cast<void *>(at->uc_mcontext.gregs[REG_RIP] + 1);
#else
    (void)context;
#endif
    if (!self) {
        sigaction(number, &before[number], nullptr);
        return;
    }
    if (number == SIGVTALRM)
        fail(site, "still runs after %d s of processor time without coming to a barrier",
            cpu_seconds());
    else
        fail(site, "signal %d (%s) at address %p", number, strsignal(number), info->si_addr);
}

void catch_signals()
{
    static void *stack = std::malloc(SIGNAL_STACK_BYTES);
    stack_t alternative = {};
    alternative.ss_sp = stack;
    alternative.ss_size = SIGNAL_STACK_BYTES;
    sigaltstack(&alternative, nullptr);
    struct sigaction action = {};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    for (int number : CAUGHT)
        sigaction(number, &action, &before[number]);
    const itimerval alarm = {{0, 0}, {cpu_seconds(), 0}};
    setitimer(ITIMER_VIRTUAL, &alarm, nullptr);
}

void release_signals()
{
    const itimerval none = {};
    setitimer(ITIMER_VIRTUAL, &none, nullptr);
    for (int number : CAUGHT)
        sigaction(number, &before[number], nullptr);
}

// What cuLaunchKernel would refuse.
bool launchable(const emu_launch_args &launch)
{
    const uint64_t blocks = (uint64_t)launch.grid[0] * launch.grid[1] * launch.grid[2];
    if (!launch.threads || launch.threads > 1024)
        report_launch("a block of %u threads: 1 to 1024", launch.threads);
    else if (launch.smem_bytes > launch.smem_limit)
        report_launch("0x%x bytes of shared memory; a block has at most 0x%x", launch.smem_bytes,
            launch.smem_limit);
    else if (!launch.cluster || launch.cluster > 16 || launch.grid[0] % launch.cluster)
        report_launch("a grid of %u blocks in clusters of %u", launch.grid[0], launch.cluster);
    else if (!blocks || blocks > UINT32_MAX)
        report_launch("a grid of %llu blocks", (unsigned long long)blocks);
    else
        return true;
    return false;
}

} // namespace

} // namespace emu

extern "C" __attribute__((visibility("default"))) void emu_launch(
    const emu_launch_args *launch, emu_report *ret_report)
{
    using namespace emu;
    const Unseen unseen;
    *ret_report = emu_report();
    grid = Grid();
    grid.launch = launch;
    grid.report = ret_report;
    grid.random = launch->seed;
    report_begin();
    if (!launchable(*launch))
        return;
    grid.clusters = launch->grid[0] * launch->grid[1] * launch->grid[2] / launch->cluster;
    catch_signals();
    schedule_grid();
    release_signals();
    if (grid.spare)
        cluster_free(*grid.spare);
    grid = Grid();
}
