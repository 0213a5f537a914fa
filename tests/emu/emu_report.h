// emu_report.h: what went wrong, in one line each: kernel, block, thread, source line.
#pragma once
#include <string>

namespace emu {

// A finding of the running thread; it goes on. Said once for each site and kind.
void report(const char *kind, const void *site, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// A finding about the launch as a whole.
void report_launch(const char *format, ...) __attribute__((format(printf, 1, 2)));
// A finding that ends the launch. On the host's stack it returns.
void fail(const void *site, const char *format, ...) __attribute__((format(printf, 2, 3)));

// "norm/rmsnorm.cu:120 (device/mem.cuh:37)" of a return address.
std::string source_line(const void *site);
// "thread 40 of block 3".
std::string thread_name(const struct Fiber &fiber);

} // namespace emu
