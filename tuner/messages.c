/* Puts and gets of the wire's structures (see messages.h). */
#include "messages.h"
#include "base/error.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- setup ------------------------------------------------------------------------------- */

void put_setup(struct wire_writer *writer, const struct setup_message *setup)
{
    wire_put_string(writer, setup->nvrtc_path);
    wire_put_string(writer, setup->driver_path);
    wire_put_u32(writer, (uint32_t)setup->nvrtc_version);
    wire_put_u32(writer, setup->n_plugins);
    for (uint32_t i = 0; i < setup->n_plugins; i++)
        wire_put_string(writer, setup->plugins[i]);
}

bool get_setup(struct wire_reader *reader, struct setup_message *ret_setup)
{
    ret_setup->nvrtc_path = wire_get_string(reader);
    ret_setup->driver_path = wire_get_string(reader);
    ret_setup->nvrtc_version = (int32_t)wire_get_u32(reader);
    ret_setup->n_plugins = wire_get_count(reader, 4);
    if (ret_setup->n_plugins > MESSAGE_MAX_PLUGINS)
        return false;
    for (uint32_t i = 0; i < ret_setup->n_plugins; i++)
        ret_setup->plugins[i] = wire_get_string(reader);
    return wire_reader_done(reader);
}

/* ---- compile ----------------------------------------------------------------------------- */

void put_build_job(struct wire_writer *writer, const struct build_job *job, bool want_ptx)
{
    wire_put_string(writer, job->source);
    wire_put_string(writer, job->config);
    wire_put_string(writer, job->op);
    wire_put_u32(writer, job->header_source != NULL);
    wire_put_string(writer, job->header_source);
    wire_put_u32(writer, job->header_path != NULL);
    wire_put_string(writer, job->header_path);
    wire_put_string(writer, job->entry);
    wire_put_string(writer, job->arch);
    wire_put_u32(writer, want_ptx);
}

static const char *get_optional_string(struct wire_reader *reader)
{
    bool present = wire_get_u32(reader) != 0;
    const char *text = wire_get_string(reader);
    return present ? text : NULL;
}

static void get_text(struct wire_reader *reader, char *ret_text, size_t bytes)
{
    const char *text = wire_get_string(reader);
    size_t length = strlen(text);
    if (length >= bytes)
        reader->failed = true;
    else
        memcpy(ret_text, text, length + 1);
}

bool get_build_job(struct wire_reader *reader, struct build_job *ret_job, bool *ret_want_ptx)
{
    memset(ret_job, 0, sizeof *ret_job);
    ret_job->source = (char *)(uintptr_t)wire_get_string(reader);
    ret_job->config = (char *)(uintptr_t)wire_get_string(reader);
    ret_job->op = wire_get_string(reader);
    ret_job->header_source = get_optional_string(reader);
    ret_job->header_path = get_optional_string(reader);
    get_text(reader, ret_job->entry, sizeof ret_job->entry);
    get_text(reader, ret_job->arch, sizeof ret_job->arch);
    *ret_want_ptx = wire_get_u32(reader) != 0;
    return wire_reader_done(reader);
}

void put_compiled(struct wire_writer *writer, const struct compiled *compiled)
{
    wire_put_f64(writer, compiled->ms);
    wire_put_u32(writer, compiled->registers);
    wire_put_u32(writer, compiled->spill_bytes);
    wire_put_u32(writer, compiled->smem_static_bytes);
    wire_put_string(writer, compiled->disqualified);
    wire_put_string(writer, compiled->log);
    wire_put_string(writer, compiled->ptx);
    wire_put_bytes(writer, compiled->image, compiled->image_bytes);
}

bool get_compiled(struct wire_reader *reader, struct compiled *ret_compiled)
{
    memset(ret_compiled, 0, sizeof *ret_compiled);
    ret_compiled->ms = wire_get_f64(reader);
    ret_compiled->registers = wire_get_u32(reader);
    ret_compiled->spill_bytes = wire_get_u32(reader);
    ret_compiled->smem_static_bytes = wire_get_u32(reader);
    get_text(reader, ret_compiled->disqualified, sizeof ret_compiled->disqualified);
    ret_compiled->log = (char *)(uintptr_t)wire_get_string(reader);
    ret_compiled->ptx = (char *)(uintptr_t)wire_get_string(reader);
    if (!ret_compiled->ptx[0])
        ret_compiled->ptx = NULL;
    ret_compiled->image = (void *)(uintptr_t)wire_get_bytes(reader, &ret_compiled->image_bytes);
    return wire_reader_done(reader);
}

/* ---- problems, configs, binaries --------------------------------------------------------- */

static void put_problem(struct wire_writer *writer, const struct tfops_problem *problem)
{
    for (int i = 0; i < TFOPS_MAX_DIMS; i++)
        wire_put_i64(writer, problem->dims[i]);
    for (int i = 0; i < TFOPS_MAX_DTYPES; i++)
        wire_put_u32(writer, problem->dtypes[i]);
    for (int i = 0; i < TFOPS_MAX_OPTIONS; i++)
        wire_put_u32(writer, problem->options[i]);
    wire_put_u32(writer, problem->present);
    wire_put_u32(writer, problem->flags);
    wire_put_u32(writer, problem->align);
}

static void get_problem(struct wire_reader *reader, struct tfops_problem *ret_problem)
{
    *ret_problem = (struct tfops_problem){.size = sizeof *ret_problem};
    for (int i = 0; i < TFOPS_MAX_DIMS; i++)
        ret_problem->dims[i] = wire_get_i64(reader);
    for (int i = 0; i < TFOPS_MAX_DTYPES; i++)
        ret_problem->dtypes[i] = (uint8_t)wire_get_u32(reader);
    for (int i = 0; i < TFOPS_MAX_OPTIONS; i++)
        ret_problem->options[i] = (uint8_t)wire_get_u32(reader);
    ret_problem->present = wire_get_u32(reader);
    ret_problem->flags = wire_get_u32(reader);
    ret_problem->align = wire_get_u32(reader);
}

void put_config(struct wire_writer *writer, const struct tfops_config *config, size_t n_tunables)
{
    wire_put_u32(writer, config->generic);
    wire_put_u32(writer, (uint32_t)n_tunables);
    for (size_t i = 0; i < n_tunables; i++)
        wire_put_i64(writer, config->values[i]);
}

bool get_config(struct wire_reader *reader, struct tfops_config *ret_config)
{
    memset(ret_config, 0, sizeof *ret_config);
    ret_config->generic = wire_get_u32(reader) != 0;
    uint32_t n = wire_get_count(reader, 8);
    if (n > TFOPS_MAX_TUNABLES)
        reader->failed = true;
    for (uint32_t i = 0; i < n && !reader->failed; i++)
        ret_config->values[i] = wire_get_i64(reader);
    return !reader->failed;
}

static void get_fixed(struct wire_reader *reader, void *ret_data, size_t bytes)
{
    size_t got;
    const void *data = wire_get_bytes(reader, &got);
    if (data && got == bytes)
        memcpy(ret_data, data, bytes);
    else
        reader->failed = true;
}

void put_binary(struct wire_writer *writer, const struct binary *binary)
{
    wire_put_bytes(writer, binary->sha256, sizeof binary->sha256);
    wire_put_bytes(writer, binary->build_key, sizeof binary->build_key);
    wire_put_bytes(writer, binary->abi, sizeof binary->abi);
    wire_put_string(writer, binary->op);
    wire_put_string(writer, binary->arch);
    wire_put_string(writer, binary->entry);
    wire_put_string(writer, binary->config);
    wire_put_string(writer, binary->nvrtc);
    wire_put_string(writer, binary->date);
    wire_put_u32(writer, binary->registers);
    wire_put_u32(writer, binary->spill_bytes);
    wire_put_u32(writer, binary->smem_static_bytes);
    wire_put_u32(writer, binary->threads);
    wire_put_u32(writer, binary->min_blocks);
    wire_put_u32(writer, binary->cluster);
    wire_put_u32(writer, binary->smem_bytes);
    wire_put_u32(writer, binary->param_bytes);
    wire_put_u32(writer, (uint32_t)binary->min_driver);
    wire_put_bytes(writer, binary->image, binary->image_bytes);
}

bool get_binary(struct wire_reader *reader, struct binary *ret_binary)
{
    memset(ret_binary, 0, sizeof *ret_binary);
    get_fixed(reader, ret_binary->sha256, sizeof ret_binary->sha256);
    get_fixed(reader, ret_binary->build_key, sizeof ret_binary->build_key);
    get_fixed(reader, ret_binary->abi, sizeof ret_binary->abi);
    ret_binary->op = (char *)(uintptr_t)wire_get_string(reader);
    ret_binary->arch = (char *)(uintptr_t)wire_get_string(reader);
    ret_binary->entry = (char *)(uintptr_t)wire_get_string(reader);
    ret_binary->config = (char *)(uintptr_t)wire_get_string(reader);
    ret_binary->nvrtc = (char *)(uintptr_t)wire_get_string(reader);
    ret_binary->date = (char *)(uintptr_t)wire_get_string(reader);
    ret_binary->registers = wire_get_u32(reader);
    ret_binary->spill_bytes = wire_get_u32(reader);
    ret_binary->smem_static_bytes = wire_get_u32(reader);
    ret_binary->threads = wire_get_u32(reader);
    ret_binary->min_blocks = wire_get_u32(reader);
    ret_binary->cluster = wire_get_u32(reader);
    ret_binary->smem_bytes = wire_get_u32(reader);
    ret_binary->param_bytes = wire_get_u32(reader);
    ret_binary->min_driver = (int32_t)wire_get_u32(reader);
    ret_binary->image = (void *)(uintptr_t)wire_get_bytes(reader, &ret_binary->image_bytes);
    return !reader->failed;
}

/* ---- sessions ---------------------------------------------------------------------------- */

void put_open(struct wire_writer *writer, const struct open_message *open)
{
    wire_put_u32(writer, open->ordinal);
    wire_put_bytes(writer, open->uuid, sizeof open->uuid);
    wire_put_string(writer, open->op);
    wire_put_u32(writer, open->spec_version);
    put_problem(writer, &open->problem);
    wire_put_u64(writer, open->seed);
    wire_put_u32(writer, open->place);
    put_binary(writer, &open->reference);
    put_binary(writer, &open->fill);
    put_binary(writer, &open->compare);
    put_binary(writer, &open->copy);
}

bool get_open(struct wire_reader *reader, struct open_message *ret_open)
{
    memset(ret_open, 0, sizeof *ret_open);
    ret_open->ordinal = wire_get_u32(reader);
    get_fixed(reader, ret_open->uuid, sizeof ret_open->uuid);
    ret_open->op = wire_get_string(reader);
    ret_open->spec_version = wire_get_u32(reader);
    get_problem(reader, &ret_open->problem);
    ret_open->seed = wire_get_u64(reader);
    ret_open->place = wire_get_u32(reader);
    get_binary(reader, &ret_open->reference);
    get_binary(reader, &ret_open->fill);
    get_binary(reader, &ret_open->compare);
    get_binary(reader, &ret_open->copy);
    return wire_reader_done(reader);
}

void put_emulate(
    struct wire_writer *writer, const struct emulate_message *message, size_t n_tunables)
{
    wire_put_string(writer, message->op);
    wire_put_string(writer, message->arch);
    wire_put_string(writer, message->library);
    wire_put_string(writer, message->arena);
    wire_put_u32(writer, message->spec_version);
    put_problem(writer, &message->problem);
    put_config(writer, &message->config, n_tunables);
    for (int i = 0; i < TFOPS_MAX_SCALARS; i++)
        wire_put_f64(writer, message->scalars[i]);
    wire_put_u64(writer, message->seed);
}

bool get_emulate(struct wire_reader *reader, struct emulate_message *ret_message)
{
    memset(ret_message, 0, sizeof *ret_message);
    ret_message->op = wire_get_string(reader);
    ret_message->arch = wire_get_string(reader);
    ret_message->library = wire_get_string(reader);
    ret_message->arena = wire_get_string(reader);
    ret_message->spec_version = wire_get_u32(reader);
    get_problem(reader, &ret_message->problem);
    bool fits = get_config(reader, &ret_message->config);
    for (int i = 0; i < TFOPS_MAX_SCALARS; i++)
        ret_message->scalars[i] = wire_get_f64(reader);
    ret_message->seed = wire_get_u64(reader);
    return fits && wire_reader_done(reader);
}

void put_emulated(struct wire_writer *writer, const struct emulated_message *emulated)
{
    wire_put_u32(writer, emulated->runs);
    wire_put_f64(writer, emulated->error);
    wire_put_string(writer, emulated->text);
}

bool get_emulated(struct wire_reader *reader, struct emulated_message *ret_emulated)
{
    ret_emulated->runs = wire_get_u32(reader);
    ret_emulated->error = wire_get_f64(reader);
    ret_emulated->text = wire_get_string(reader);
    return wire_reader_done(reader);
}

void put_measure_options(struct wire_writer *writer, const struct measure_options *options)
{
    wire_put_f64(writer, options->interval);
    wire_put_u32(writer, options->min_samples);
    wire_put_u32(writer, options->max_samples);
    wire_put_u32(writer, options->race);
    wire_put_u32(writer, options->steady);
    wire_put_f64(writer, options->give_up_ratio);
}

bool get_measure_options(struct wire_reader *reader, struct measure_options *ret_options)
{
    memset(ret_options, 0, sizeof *ret_options);
    ret_options->interval = wire_get_f64(reader);
    ret_options->min_samples = wire_get_u32(reader);
    ret_options->max_samples = wire_get_u32(reader);
    ret_options->race = wire_get_u32(reader) != 0;
    ret_options->steady = wire_get_u32(reader) != 0;
    ret_options->give_up_ratio = wire_get_f64(reader);
    return !reader->failed;
}

void put_add(struct wire_writer *writer, const struct add_message *add, size_t n_tunables)
{
    put_config(writer, &add->config, n_tunables);
    put_binary(writer, &add->binary);
    wire_put_u32(writer, add->verify);
    put_measure_options(writer, &add->measure);
}

bool get_add(struct wire_reader *reader, struct add_message *ret_add)
{
    memset(ret_add, 0, sizeof *ret_add);
    get_config(reader, &ret_add->config);
    get_binary(reader, &ret_add->binary);
    ret_add->verify = wire_get_u32(reader) != 0;
    get_measure_options(reader, &ret_add->measure);
    return wire_reader_done(reader);
}

void put_added(struct wire_writer *writer, const struct added_message *added)
{
    wire_put_u32(writer, added->id);
    wire_put_u32(writer, added->blocks_per_sm);
    wire_put_u32(writer, added->wrong);
    wire_put_f64(writer, added->report.relative);
    wire_put_string(writer, added->report.first_wrong);
    put_clocks(writer, &added->clocks);
    put_samples(writer, &added->samples);
}

enum tfops_status get_added(
    const struct env *env, struct wire_reader *reader, struct added_message *ret_added)
{
    memset(ret_added, 0, sizeof *ret_added);
    ret_added->id = wire_get_u32(reader);
    ret_added->blocks_per_sm = wire_get_u32(reader);
    ret_added->wrong = wire_get_u32(reader) != 0;
    ret_added->report.relative = wire_get_f64(reader);
    get_text(reader, ret_added->report.first_wrong, sizeof ret_added->report.first_wrong);
    get_clocks(reader, &ret_added->clocks);
    return get_samples(env, reader, &ret_added->samples);
}

void put_clocks(struct wire_writer *writer, const struct nvml_sample *clocks)
{
    wire_put_u32(writer, (uint32_t)clocks->sm_clock_mhz);
    wire_put_u32(writer, (uint32_t)clocks->memory_clock_mhz);
    wire_put_u32(writer, (uint32_t)clocks->power_limit_w);
    wire_put_u64(writer, clocks->throttle_reasons);
}

bool get_clocks(struct wire_reader *reader, struct nvml_sample *ret_clocks)
{
    ret_clocks->sm_clock_mhz = (int32_t)wire_get_u32(reader);
    ret_clocks->memory_clock_mhz = (int32_t)wire_get_u32(reader);
    ret_clocks->power_limit_w = (int32_t)wire_get_u32(reader);
    ret_clocks->throttle_reasons = wire_get_u64(reader);
    return !reader->failed;
}

void put_samples(struct wire_writer *writer, const struct sample_set *set)
{
    wire_put_u32(writer, set->n);
    for (uint32_t i = 0; i < set->n; i++)
        wire_put_f64(writer, set->ns[i]);
}

/* A sample that is no positive time would poison every median: such a worker lies. */
enum tfops_status get_samples(
    const struct env *env, struct wire_reader *reader, struct sample_set *set)
{
    uint32_t n = wire_get_count(reader, 8);
    for (uint32_t i = 0; i < n; i++) {
        double ns = wire_get_f64(reader);
        if (!(isfinite(ns) && ns > 0)) {
            reader->failed = true;
            break;
        }
        enum tfops_status status = sample_set_add(env, set, ns);
        if (status)
            return status;
    }
    return reader->failed
               ? error_set(TFOPS_E_WORKER, "worker", "samples", "positive times", "garbage")
               : TFOPS_OK;
}
