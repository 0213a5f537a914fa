/* Kernels for tests of the emulated machine (see emu_rig.h). */
#include "emu_rig.h"
#include "base/error.h"
#include "tuner/emulate_build.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES = 1 << 16, SOURCE_BYTES = 1024, PATH_BYTES = 1024 };

static void *needed(void *memory, const char *what)
{
    if (!memory) {
        fprintf(stderr, "no %s\n", what);
        exit(1);
    }
    return memory;
}

static char *read_text(const char *name)
{
    const char *source = getenv("TFOPS_SOURCE");
    char path[PATH_BYTES], *text = needed(calloc(1, TEXT_BYTES), "memory");
    snprintf(path, sizeof path, "%s/tests/emu/%s.cu", source ? source : ".", name);
    FILE *file = needed(fopen(path, "re"), path);
    size_t read = fread(text, 1, TEXT_BYTES - 1, file);
    fclose(file);
    if (!read || read == TEXT_BYTES - 1) {
        fprintf(stderr, "%s is empty or too long\n", path);
        exit(1);
    }
    return text;
}

static void build(struct emu_rig *rig, const char *const *constants, size_t n)
{
    struct build_job *jobs = needed(calloc(n, sizeof *jobs), "memory");
    char *sources = needed(calloc(n, SOURCE_BYTES), "memory");
    char path[EMULATE_PATH_BYTES], header[64];
    const struct emulate_builder builder = {.dir = rig->dir, .mode = EMULATE_TRACE};
    const struct emulate_batch batch = {jobs, n, 90, rig->name};
    snprintf(header, sizeof header, "%s.cu", rig->name);
    for (size_t i = 0; i < n; i++) {
        char *source = sources + i * SOURCE_BYTES;
        snprintf(source, SOURCE_BYTES,
            "#include \"%s\"\n\nstruct Cfg {\n    static constexpr int %s;\n};\n\n"
            "TFOPS_ENTRY(tfops_%s, %s, %s_params)\n",
            header, constants[i], rig->name, rig->name, rig->name);
        jobs[i] = (struct build_job){
            .source = source, .op = rig->name, .header_path = header, .header_source = rig->text};
    }
    if (emulate_build_runtime(&builder) || emulate_build(&builder, &batch, path) ||
        emulate_open(path, &rig->library)) {
        fprintf(stderr, "%s\n", error_message());
        exit(1);
    }
    free(sources);
    free(jobs);
}

void emu_rig_skip_under_tsan(void)
{
#ifdef __SANITIZE_THREAD__
    puts("the emulator watches accesses itself: not under ThreadSanitizer");
    exit(77);
#endif
}

void emu_rig_open(struct emu_rig *rig, const char *name, const char *const *constants, size_t n)
{
    emu_rig_skip_under_tsan();
    *rig = (struct emu_rig){.name = name, .text = read_text(name)};
    support_dir_make(rig->dir);
    build(rig, constants, n);
}

int emu_rig_close(struct emu_rig *rig)
{
    emulate_close(&rig->library);
    free(rig->text);
    support_dir_remove(rig->dir);
    printf("%u passed, %u failed, 0 skipped\n", rig->passed, rig->failed);
    return rig->failed != 0;
}

void emu_rig_launch(const struct emu_rig *rig, size_t kernel, struct emu_launch_args *args,
    struct emu_report *ret_report)
{
    char entry[32];
    snprintf(entry, sizeof entry, "emu_entry_%zu", kernel);
    args->kernel = rig->name;
    *(void **)&args->entry = needed(dlsym(rig->library.handle, entry), entry);
    rig->library.launch(args, ret_report);
}

void emu_rig_line(const struct emu_rig *rig, const char *name, char *text, size_t bytes)
{
    char comment[64];
    snprintf(comment, sizeof comment, "// %s\n", name);
    const char *at = strstr(rig->text, comment);
    int line = 1;
    for (const char *c = rig->text; at && c < at; c++)
        line += *c == '\n';
    snprintf(text, bytes, "%s.cu:%d", rig->name, at ? line : 0);
}

void emu_rig_check(
    struct emu_rig *rig, bool right, const char *what, const char *wanted, const char *actual)
{
    rig->passed += right;
    rig->failed += !right;
    if (!right)
        fprintf(stderr, "%s: wanted %s, is:\n%s\n", what, wanted, actual);
}
