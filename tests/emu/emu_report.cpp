// Reports (see emu_report.h).
#include "emu_report.h"
#include "emu_machine.h"
#include <cstdarg>
#include <cstdio>
#include <dlfcn.h>
#include <map>
#include <set>
#include <utility>

namespace emu {

namespace {

std::set<std::pair<std::string, const void *>> said; // of this launch

std::string formatted(const char *format, va_list args)
{
    char text[1024];
    vsnprintf(text, sizeof text, format, args);
    return text;
}

void add_line(const std::string &text)
{
    emu_report &report = *grid.report;
    const size_t used = strlen(report.text);
    report.findings++;
    snprintf(report.text + used, sizeof report.text - used, "%s: %s\n", grid.launch->kernel,
        text.c_str());
}

// The path below the kernel root; system headers and the like keep theirs.
std::string short_path(const std::string &path)
{
    for (const char *folder : {"/kernels/", "/source/"}) {
        const size_t at = path.rfind(folder);
        if (at != std::string::npos)
            return path.substr(at + strlen(folder));
    }
    const size_t slash = path.rfind('/');
    return slash == std::string::npos ? path : path.substr(slash + 1);
}

// Frames inlined at a place, innermost first. Only for reports: it starts a program.
std::vector<std::string> read_frames(const void *site)
{
    std::vector<std::string> lines;
    Dl_info info;
    if (!site || !dladdr(const_cast<void *>(site), &info) || !info.dli_fname)
        return lines;
    char command[1024], line[1024];
    const uintptr_t offset = (uintptr_t)site - (uintptr_t)info.dli_fbase - 1;
    snprintf(command, sizeof command, "addr2line -i -e '%s' 0x%zx 2>/dev/null", info.dli_fname,
        (size_t)offset);
    FILE *pipe = popen(command, "r");
    while (pipe && fgets(line, sizeof line, pipe)) {
        std::string text = line;
        text.resize(text.find_first_of(" \n"));
        if (text.find("??") == std::string::npos && text.find("/emu.h:") == std::string::npos)
            lines.push_back(short_path(text));
    }
    if (pipe)
        pclose(pipe);
    return lines;
}

const std::vector<std::string> &frames(const void *site)
{
    static std::map<const void *, std::vector<std::string>> known;
    auto found = known.find(site);
    if (found == known.end())
        found = known.emplace(site, read_frames(site)).first;
    return found->second;
}

} // namespace

std::string source_line(const void *site)
{
    const std::vector<std::string> &lines = frames(site);
    if (lines.empty())
        return "an unknown line";
    for (const std::string &line : lines)
        if (line.rfind("device/", 0) != 0)
            return line == lines[0] ? line : line + " (" + lines[0] + ")";
    return lines[0];
}

std::string thread_name(const Fiber &fiber)
{
    char text[96];
    const uint32_t *index = fiber.block->index, *size = grid.launch->grid;
    if (size[1] > 1 || size[2] > 1)
        snprintf(text, sizeof text, "block (%u, %u, %u) thread %d", index[0], index[1], index[2],
            fiber.identity.thread);
    else
        snprintf(text, sizeof text, "block %u thread %d", index[0], fiber.identity.thread);
    return text;
}

void report(const char *kind, const void *site, const char *format, ...)
{
    if (!said.emplace(kind, site).second)
        return;
    va_list args;
    va_start(args, format);
    add_line(thread_name(*self) + " at " + source_line(site) + ": " + formatted(format, args));
    va_end(args);
}

void report_launch(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add_line(formatted(format, args));
    va_end(args);
}

void fail(const void *site, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    std::string text = formatted(format, args);
    va_end(args);
    if (self && site)
        text = thread_name(*self) + " at " + source_line(site) + ": " + text;
    add_line(text);
    grid.stopped = true;
    if (!self)
        return;
    Fiber *from = self;
    self = nullptr;
    context_switch(from->context, grid.host, true);
}

void report_begin()
{
    said.clear();
}

} // namespace emu
