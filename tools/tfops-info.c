/*
 * tfops-info: what this host, this library and its caches have. Reads only; opens no GPU context
 * (the operators come from an engine on the cpu device).
 */
#include "cli.h"
#include "cli_engine.h"
#include "cli_json.h"
#include "cli_operator.h"
#include "cli_options.h"
#include "cli_table.h"
#include "cli_text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tfops/tfops.h>

struct info_options {
    struct cli_common common;
    struct cli_list caches;
    bool tunables;
};

static const struct cli_option OPTIONS[] = {
    {"--cache", "FILE", CLI_LIST, offsetof(struct info_options, caches),
        "a cache file to describe instead of the user's; may be given again"},
    {"--tunables", NULL, CLI_FLAG, offsetof(struct info_options, tunables),
        "also print each operator's options, operands and tunables"},
    CLI_COMMON_OPTIONS(struct info_options),
};

static const struct cli_program PROGRAM = {
    "[OP…] [OPTION…]",
    "Shows the devices, the driver, NVRTC, the cache files and the operators with their "
    "dimensions, "
    "tunables and support by architecture.",
    OPTIONS,
    sizeof OPTIONS / sizeof *OPTIONS,
    "Nothing is compiled and no GPU context is made.",
};

struct info {
    struct cli cli;
    struct info_options options;
    struct tfops_platform platform;
    struct tfops_engine *engine;
    struct cli_operators operators;
};

/* ---- the host ------------------------------------------------------------------------------- */

static void version_text(char ret_text[32], int32_t version)
{
    if (version > 0)
        snprintf(ret_text, 32, "%d.%d", version / 1000, version % 1000 / 10);
    else
        snprintf(ret_text, 32, "none");
}

static bool get_device(int32_t index, struct tfops_device *ret_device)
{
    *ret_device = (struct tfops_device){.size = sizeof *ret_device};
    return tfops_platform_device(NULL, index, ret_device) == TFOPS_OK;
}

static void print_device(int32_t index)
{
    struct tfops_device device;
    if (!get_device(index, &device)) {
        printf("  %d  (cannot be read)\n", index);
        return;
    }
    char memory[32], l2[32];
    cli_text_bytes(memory, (uint64_t)device.memory_bytes);
    cli_text_bytes(l2, (uint64_t)device.l2_bytes);
    printf("  %d  %s, %s, %d SMs, %s, %s L2, %lld KiB shared memory per block%s%s\n", index,
        device.name, device.arch, device.sms, memory, l2,
        (long long)(device.smem_per_block_bytes / 1024), device.mig[0] ? ", MIG " : "", device.mig);
}

static void print_platform(const struct info *info)
{
    const struct tfops_platform *platform = &info->platform;
    char driver[32], nvrtc[32];
    version_text(driver, platform->driver_version);
    version_text(nvrtc, platform->nvrtc_version);
    printf("tfops    %s\n", tfops_version());
    printf(
        "driver   %s%s%s\n", driver, platform->driver_path[0] ? "  " : "", platform->driver_path);
    printf("NVRTC    %s%s%s\n", nvrtc, platform->nvrtc_path[0] ? "  " : "", platform->nvrtc_path);
    printf("NVML     %s\n", platform->nvml ? "yes" : "no");
    if (platform->message[0])
        printf("         (%s)\n", platform->message);
    printf("devices  %d and cpu\n", platform->device_count);
    for (int32_t i = 0; i < platform->device_count; i++)
        print_device(i);
}

static void platform_json(const struct info *info, json *object)
{
    const struct tfops_platform *platform = &info->platform;
    json *driver = json_add_object(object, "driver");
    json_add_int(driver, "version", platform->driver_version);
    json_add_string(driver, "path", platform->driver_path);
    json *nvrtc = json_add_object(object, "nvrtc");
    json_add_int(nvrtc, "version", platform->nvrtc_version);
    json_add_string(nvrtc, "path", platform->nvrtc_path);
    json_add_bool(object, "nvml", platform->nvml);
    json_add_string(object, "message", platform->message);
    struct tfops_device device;
    if (platform->device_count > 0 && get_device(0, &device))
        cli_json_device(object, "device", &device);
    else
        cli_json_device(object, "device", tfops_engine_device(info->engine));
    json *devices = json_add_array(object, "devices");
    for (int32_t i = 0; i < platform->device_count; i++)
        if (get_device(i, &device))
            cli_json_device(devices, NULL, &device);
}

/* ---- the caches ----------------------------------------------------------------------------- */

struct cache_state {
    const char *path;
    enum tfops_status status; /* TFOPS_E_UNKNOWN: not there, which is no error */
    struct tfops_error error;
    struct tfops_cache_totals totals;
};

static void read_cache(const char *path, struct cache_state *ret_state)
{
    struct tfops_cache *cache = NULL;
    *ret_state = (struct cache_state){.path = path, .totals.size = sizeof ret_state->totals};
    ret_state->status = tfops_cache_open(path, &cache);
    if (ret_state->status == TFOPS_OK)
        ret_state->status = tfops_cache_totals(cache, &ret_state->totals);
    if (ret_state->status != TFOPS_OK)
        cli_last_error(ret_state->status, &ret_state->error);
    tfops_cache_close(cache);
}

static void print_cache(const char *path)
{
    struct cache_state state;
    read_cache(path, &state);
    printf("cache    %s", path);
    if (state.status == TFOPS_OK) {
        char bytes[32];
        cli_text_bytes(bytes, state.totals.file_bytes);
        printf(": %llu records, %llu binaries, %s, schema %u\n",
            (unsigned long long)state.totals.records, (unsigned long long)state.totals.binaries,
            bytes, state.totals.schema);
    } else if (state.status == TFOPS_E_UNKNOWN) {
        printf(": not there yet\n");
    } else {
        printf(": not usable: %s\n", state.error.message);
    }
}

static void cache_json(json *parent, const char *name, const char *path)
{
    struct cache_state state;
    read_cache(path, &state);
    json *object = json_add_object(parent, name);
    json_add_string(object, "path", path);
    json_add_bool(object, "exists", state.status != TFOPS_E_UNKNOWN);
    json_add_bool(object, "usable", state.status == TFOPS_OK);
    json_add_string(object, "message",
        state.status == TFOPS_OK || state.status == TFOPS_E_UNKNOWN ? "" : state.error.message);
    json_add_int(object, "records", (int64_t)state.totals.records);
    json_add_int(object, "binaries", (int64_t)state.totals.binaries);
    json_add_int(object, "binary_bytes", (int64_t)state.totals.binary_bytes);
    json_add_int(object, "file_bytes", (int64_t)state.totals.file_bytes);
    json_add_int(object, "schema", state.totals.schema);
}

static bool default_cache(char *ret_path, size_t bytes)
{
    return tfops_cache_default_path(ret_path, bytes) == TFOPS_OK;
}

static void print_caches(const struct info *info)
{
    char path[4096];
    if (info->options.caches.count == 0 && default_cache(path, sizeof path))
        print_cache(path);
    for (size_t i = 0; i < info->options.caches.count; i++)
        print_cache(info->options.caches.items[i]);
}

/* "cache" is the one that an engine would use; "caches" are those asked for. */
static void caches_json(const struct info *info, json *object)
{
    char path[4096];
    if (default_cache(path, sizeof path))
        cache_json(object, "cache", path);
    else
        json_add_string(object, "cache", NULL);
    json *caches = json_add_array(object, "caches");
    for (size_t i = 0; i < info->options.caches.count; i++)
        cache_json(caches, NULL, info->options.caches.items[i]);
}

/* ---- the operators -------------------------------------------------------------------------- */

static bool wanted(const struct info *info, const struct tfops_spec *spec)
{
    const struct cli_list *words = &info->options.common.words;
    for (size_t i = 0; i < words->count; i++)
        if (strcmp(words->items[i], spec->name) == 0)
            return true;
    return words->count == 0;
}

/* One column per architecture, so that gaps are seen at a glance. */
static void print_support(const struct info *info)
{
    const char *heads[32] = {"operator"};
    size_t columns = 1;
    for (; columns <= tfops_arch_count() && columns < sizeof heads / sizeof *heads; columns++)
        heads[columns] = tfops_arch_name(columns - 1);
    struct cli_table table;
    cli_table_init(&table, heads, columns, 0);
    for (size_t i = 0; i < info->operators.count; i++) {
        const struct tfops_spec *spec = info->operators.items[i];
        char reason[TFOPS_REASON_BYTES];
        if (!wanted(info, spec))
            continue;
        cli_table_cell(&table, "%s", spec->name);
        for (size_t a = 1; a < columns; a++)
            cli_table_cell(
                &table, "%s", cli_operator_supports(spec, heads[a], reason) ? "yes" : "no");
    }
    putchar('\n');
    cli_table_print(&table);
    cli_table_release(&table);
}

/* ---- the whole ------------------------------------------------------------------------------ */

static void print_json(const struct info *info)
{
    json *object = json_object();
    json_add_string(object, "version", tfops_version());
    platform_json(info, object);
    caches_json(info, object);
    json *archs = json_add_array(object, "archs");
    for (size_t i = 0; i < tfops_arch_count(); i++)
        json_add_string(archs, NULL, tfops_arch_name(i));
    json *operators = json_add_array(object, "operators");
    for (size_t i = 0; i < info->operators.count; i++)
        if (wanted(info, info->operators.items[i]))
            cli_operator_json(operators, info->operators.items[i]);
    cli_json_emit(object);
}

static void print_text(const struct info *info)
{
    print_platform(info);
    print_caches(info);
    print_support(info);
    for (size_t i = 0; i < info->operators.count; i++)
        if (wanted(info, info->operators.items[i]))
            cli_operator_print(info->operators.items[i], info->options.tunables);
}

static int check_words(const struct info *info)
{
    const struct cli_list *words = &info->options.common.words;
    struct tfops_error error;
    for (size_t i = 0; i < words->count; i++)
        if (!cli_operator_find(&info->operators, words->items[i], &error))
            return cli_fail(&info->cli, CLI_USAGE, &error);
    return CLI_OK;
}

static int run(struct info *info)
{
    struct cli_target target = {
        .device = "cpu", .cache = "", .plugins = &info->options.common.plugins};
    int code = cli_engine_open(&info->cli, &target, &info->engine);
    if (code != CLI_OK)
        return code;
    if (!cli_operators_load(info->engine, &info->operators))
        return cli_fail_memory(&info->cli);
    code = check_words(info);
    if (code != CLI_OK)
        return code;
    info->platform.size = sizeof info->platform;
    enum tfops_status status = tfops_platform_query(NULL, NULL, &info->platform);
    if (status != TFOPS_OK)
        return cli_fail_last(&info->cli, status, NULL);
    if (info->cli.json)
        print_json(info);
    else
        print_text(info);
    return CLI_OK;
}

int main(int argc, char **argv)
{
    struct info info = {.options.common = CLI_COMMON_DEFAULTS};
    int code;
    cli_init(&info.cli, "tfops-info", argc, argv);
    if (cli_options_parse(&info.cli, &PROGRAM, argc, argv, &info.options.common, &code))
        code = run(&info);
    free((void *)info.operators.items);
    tfops_engine_close(info.engine);
    cli_options_release(&PROGRAM, &info.options.common);
    return cli_finish(&info.cli, code);
}
