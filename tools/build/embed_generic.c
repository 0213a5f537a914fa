/*
 * Build step: compiles what every installation must have, whatever its cache holds: the operators'
 * generic variants and the support kernels. Linked with the library's own objects, so that renderer,
 * options and digests are the library's.
 *
 *   embed-generic ARCH   the binaries of one architecture, as C: the build's unit of parallel work
 *   embed-generic        the table of all architectures, builtin_binaries
 */
#include "base/error.h"
#include "compile.h"
#include "device.h"
#include "kernels/registry.h"
#include "nvrtc.h"
#include "support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tfops/plan.h>

enum { MAX_BINARIES = 1024 };
static struct binary binaries[MAX_BINARIES];
static size_t n_binaries;

static void fail(const char *what)
{
    fprintf(stderr, "embed-generic: %s: %s\n", what, error_message());
    exit(1);
}

static bool done(const struct build_job *job)
{
    for (size_t i = 0; i < n_binaries; i++)
        if (!memcmp(binaries[i].build_key, job->build_key, HASH_BYTES))
            return true;
    return false;
}

static void compile_one(const struct nvrtc *nvrtc, struct build_job *job)
{
    struct compiled compiled;
    if (!done(job)) {
        if (n_binaries == MAX_BINARIES || compile_job(NULL, nvrtc, job, false, &compiled))
            fail(job->source);
        if (compiled_to_binary(NULL, job, &compiled, nvrtc->version, &binaries[n_binaries++]))
            fail(job->op);
        compiled_release(NULL, &compiled);
    }
    build_job_release(NULL, job);
}

static void compile_for(const struct nvrtc *nvrtc, const struct tfops_device *device)
{
    struct build_job job;
    char reason[TFOPS_REASON_BYTES];
    for (size_t i = 0; i < registry_count; i++) {
        const struct tfops_spec *spec = registry_specs[i];
        const struct tfops_config generic = {.generic = true};
        struct tfops_problem problem;
        if (!spec->generic_body ||
            (spec->supports && !spec->supports(spec->user, device->arch, reason)))
            continue;
        if (tfops_problem_init(spec, &problem) ||
            render_job(NULL, &problem, device, &generic, RENDER_TUNED, 0, &job))
            fail(spec->name);
        compile_one(nvrtc, &job);
    }
    for (int kernel = 0; kernel < SUPPORT_COUNT; kernel++) {
        if (support_job(NULL, (enum support_kernel)kernel, device, &job))
            fail("support");
        compile_one(nvrtc, &job);
    }
}

static void print_bytes(const void *data, size_t n)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < n; i++)
        printf("%s%u,", i % 32 ? "" : "\n    ", bytes[i]);
}

static void print_image(size_t i)
{
    printf("static const _Alignas(16) unsigned char image_%zu[] = {", i);
    print_bytes(binaries[i].image, binaries[i].image_bytes);
    printf("\n};\n");
}

static void print_row(size_t i)
{
    const struct binary *binary = &binaries[i];
    printf("    {.sha256 = {");
    print_bytes(binary->sha256, HASH_BYTES);
    printf("},\n        .build_key = {");
    print_bytes(binary->build_key, HASH_BYTES);
    printf("},\n        .abi = {");
    print_bytes(binary->abi, HASH_BYTES);
    printf("},\n        .op = \"%s\", .arch = \"%s\", .entry = \"%s\", .config = \"%s\",\n"
           "        .nvrtc = \"%s\", .date = \"%s\",\n",
        binary->op, binary->arch, binary->entry, binary->config, binary->nvrtc, binary->date);
    printf("        .registers = %u, .spill_bytes = %u, .smem_static_bytes = %u, .threads = %u,\n"
           "        .min_blocks = %u, .cluster = %u, .smem_bytes = %u, .param_bytes = %u,\n"
           "        .min_driver = %d, .image = (void *)image_%zu, .image_bytes = %zu},\n",
        binary->registers, binary->spill_bytes, binary->smem_static_bytes, binary->threads,
        binary->min_blocks, binary->cluster, binary->smem_bytes, binary->param_bytes,
        binary->min_driver, i, binary->image_bytes);
}

static void print_binaries(const char *arch)
{
    for (size_t i = 0; i < n_binaries; i++)
        print_image(i);
    printf("\nstatic const struct binary binaries[] = {\n");
    for (size_t i = 0; i < n_binaries; i++)
        print_row(i);
    printf("};\nconst struct embedded_binaries builtin_%s = {\"%s\", binaries, %zu};\n", arch, arch,
        n_binaries);
}

static void embed_arch(const char *arch)
{
    struct nvrtc nvrtc;
    struct tfops_device device;
    if (device_nominal(arch, &device))
        fail("device");
    if (nvrtc_open(NULL, 0, &nvrtc))
        fail("NVRTC");
    compile_for(&nvrtc, &device);
    print_binaries(arch);
    fprintf(stderr, "embed-generic: %s: %zu binaries, NVRTC %d\n", arch, n_binaries, nvrtc.version);
}

static void embed_table(void)
{
    for (size_t i = 0; i < tfops_arch_count(); i++)
        printf("extern const struct embedded_binaries builtin_%s;\n", tfops_arch_name(i));
    printf("\nconst struct embedded_binaries *const builtin_binaries[] = {\n");
    for (size_t i = 0; i < tfops_arch_count(); i++)
        printf("    &builtin_%s,\n", tfops_arch_name(i));
    printf("};\nconst size_t builtin_binaries_count = %zu;\n", tfops_arch_count());
}

int main(int argc, char **argv)
{
    printf(
        "/* Generated by tools/build/embed_generic.c: not edited. */\n#include \"embedded.h\"\n\n");
    if (argc > 1)
        embed_arch(argv[1]);
    else
        embed_table();
    return ferror(stdout) || fclose(stdout);
}
