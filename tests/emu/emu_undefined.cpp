// What UBSan finds in a variant: a finding like any other, with block, thread and line, in place of the
// process's end. Its library calls __ubsan_on_report() when it has made its message and before it prints it;
// it then counts as reporting for good, and ends the process at the next one.
#include "emu_machine.h"
#include "emu_report.h"
#include <dlfcn.h>
#include <execinfo.h>

extern "C" {

// Only there where variants are built with UBSan.
__attribute__((weak)) void __ubsan_get_current_report_data(const char **kind, const char **message,
    const char **file, unsigned *line, unsigned *column, char **address);
__attribute__((visibility("default"))) void __ubsan_on_report(void);
}

namespace emu {

namespace {

const void *object_of(const void *at)
{
    Dl_info info;
    return dladdr(const_cast<void *>(at), &info) ? info.dli_fbase : nullptr;
}

// Where the variant called UBSan: behind this file's frames, before which ASan's backtrace() may have one, come
// those of its library.
const void *undefined_site()
{
    void *frames[24];
    const int n = backtrace(frames, sizeof frames / sizeof *frames);
    const void *own = object_of(reinterpret_cast<const void *>(&undefined_site));
    int i = 0;
    while (i < n && object_of(frames[i]) != own)
        i++;
    while (i < n && object_of(frames[i]) == own)
        i++;
    while (i < n && object_of(frames[i]) != own)
        i++;
    return i < n ? frames[i] : nullptr;
}

} // namespace

} // namespace emu

void __ubsan_on_report(void)
{
    using namespace emu;
    const Unseen unseen;
    const char *kind, *message = "", *file;
    unsigned line, column;
    char *address;
    if (!self || !__ubsan_get_current_report_data)
        return;
    __ubsan_get_current_report_data(&kind, &message, &file, &line, &column, &address);
    fail(undefined_site(), "undefined behaviour: %s", message);
}
