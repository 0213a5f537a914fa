/*
 * What requests and answers carry: one put and one get per structure, side by side, so that both
 * ends of the wire are seen at once. A get borrows from the payload and is false when it does not
 * fit; nothing here allocates but sample sets.
 */
#ifndef TFOPS_TUNER_MESSAGES_H
#define TFOPS_TUNER_MESSAGES_H

#include "cache/binary_store.h"
#include "compile.h"
#include "protocol.h"
#include "session.h"

enum { MESSAGE_MAX_PLUGINS = 64, MESSAGE_UUID_BYTES = 16 };

/* SETUP: what the worker opens when a request first needs it. Empty paths: by the usual rule. */
struct setup_message {
    const char *nvrtc_path, *driver_path;
    int32_t nvrtc_version; /* the worker refuses to compile with another one */
    uint32_t n_plugins;
    const char *plugins[MESSAGE_MAX_PLUGINS];
};
void put_setup(struct wire_writer *writer, const struct setup_message *setup);
bool get_setup(struct wire_reader *reader, struct setup_message *ret_setup);

/* COMPILE: the build job and whether PTX is wanted. The answer's body is there with TFOPS_OK and,
 * with only the log in it, with TFOPS_E_COMPILE. */
void put_build_job(struct wire_writer *writer, const struct build_job *job, bool want_ptx);
bool get_build_job(struct wire_reader *reader, struct build_job *ret_job, bool *ret_want_ptx);
void put_compiled(struct wire_writer *writer, const struct compiled *compiled);
bool get_compiled(struct wire_reader *reader, struct compiled *ret_compiled);

/* OPEN: a session. `op` is looked up by the worker among its own operators. */
struct open_message {
    uint32_t ordinal;
    uint8_t uuid[MESSAGE_UUID_BYTES]; /* the GPU the parent means; all zero: not checked */
    const char *op;
    uint32_t spec_version;
    struct tfops_problem problem; /* spec is NULL after get */
    uint64_t seed;
    uint32_t place; /* of session_options */
    struct binary reference, fill, compare, copy;
};
void put_open(struct wire_writer *writer, const struct open_message *open);
bool get_open(struct wire_reader *reader, struct open_message *ret_open);

void put_config(struct wire_writer *writer, const struct tfops_config *config, size_t n_tunables);
bool get_config(struct wire_reader *reader, struct tfops_config *ret_config);
void put_binary(struct wire_writer *writer, const struct binary *binary);
bool get_binary(struct wire_reader *reader, struct binary *ret_binary);
void put_measure_options(struct wire_writer *writer, const struct measure_options *options);
bool get_measure_options(struct wire_reader *reader, struct measure_options *ret_options);

/* ADD: load, verify, a first measurement. max_samples 0: none. */
struct add_message {
    struct tfops_config config;
    struct binary binary;
    bool verify;
    struct measure_options measure;
};
void put_add(struct wire_writer *writer, const struct add_message *add, size_t n_tunables);
bool get_add(struct wire_reader *reader, struct add_message *ret_add);

/* The answer to ADD. A candidate that did not pass is already dropped by the worker. */
struct added_message {
    uint32_t id, blocks_per_sm;
    bool wrong; /* verification failed: report says where */
    struct verify_report report;
    struct sample_set samples;
    struct nvml_sample clocks;
};
void put_added(struct wire_writer *writer, const struct added_message *added);
/* TFOPS_E_WORKER when it does not fit. The samples are the caller's. */
enum tfops_status get_added(
    const struct env *env, struct wire_reader *reader, struct added_message *ret_added);

/* EMULATE: executes a shared object of emulate_build.h. arena "": on made-up operands, compared with
 * the reference; else once on those in this file, which takes the results. */
struct emulate_message {
    const char *op, *arch, *library, *arena;
    uint32_t spec_version;
    struct tfops_problem problem; /* spec is NULL after get */
    struct tfops_config config;
    double scalars[TFOPS_MAX_SCALARS]; /* of a run on an arena */
    uint64_t seed;
};
void put_emulate(
    struct wire_writer *writer, const struct emulate_message *message, size_t n_tunables);
bool get_emulate(struct wire_reader *reader, struct emulate_message *ret_message);

struct emulated_message {
    uint32_t runs;
    double error;
    const char *text; /* what is wrong; "" when nothing is */
};
void put_emulated(struct wire_writer *writer, const struct emulated_message *emulated);
bool get_emulated(struct wire_reader *reader, struct emulated_message *ret_emulated);

void put_samples(struct wire_writer *writer, const struct sample_set *set);
/* Appends. */
enum tfops_status get_samples(
    const struct env *env, struct wire_reader *reader, struct sample_set *set);
void put_clocks(struct wire_writer *writer, const struct nvml_sample *clocks);
bool get_clocks(struct wire_reader *reader, struct nvml_sample *ret_clocks);

#endif
