/*
 * A launch of any operator on an engine's device, from the text of a problem: operands follow from
 * the spec, so that a test of an operator is a line of a table. What is put there, what the CPU
 * reference says and the judgement are those of the tuner's emulated cases: random or special values,
 * poisoned outputs, red zones around every operand and behind every row, in place.
 */
#ifndef TFOPS_TESTS_GPU_CASE_H
#define TFOPS_TESTS_GPU_CASE_H

#include "tuner/emulate_case.h"
#include <stdbool.h>
#include <tfops/tfops.h>

enum { GPU_CASE_TEXT_BYTES = 1024 };

struct gpu_case_options {
    enum emulate_kind kind;
    const double *scalars; /* NULL: the defaults */
    uint64_t seed;
    /* What will be launched, for its workspace. NULL: as much as the default config or the generic
     * variant asks for. */
    const struct tfops_config *config;
    /* An allocation of its exact size for each operand instead of one arena: for tools that watch
     * accesses. There are then no zones to judge. */
    bool apart;
};

struct gpu_case {
    struct tfops_engine *engine;
    const struct tfops_spec *spec; /* the engine's */
    struct tfops_spec own;         /* the same with the scalars as asked for */
    struct tfops_scalar_spec scalars[TFOPS_MAX_SCALARS];
    struct emulate_case host;
    bool apart;
    void *memory[TFOPS_MAX_OPERANDS]; /* one arena: the first */
    void *workspace;
    struct tfops_tensor tensors[TFOPS_MAX_OPERANDS];
    struct tfops_args args; /* of a launch */
};

/* "op name=value …", checked; a value may be a scalar's. Aborts with the message where it is wrong. */
void gpu_case_problem(struct tfops_engine *engine, const char *text,
    struct tfops_problem *ret_problem, double ret_scalars[TFOPS_MAX_SCALARS]);

/* Makes the case and puts it on the device. Must work. */
void gpu_case_make(struct gpu_case *gcase, struct tfops_engine *engine,
    const struct tfops_problem *problem, const struct gpu_case_options *options);
/* The device's memory as before any launch. Must work. */
void gpu_case_reset(struct gpu_case *gcase);
/* Reads the device's memory and judges it. False when wrong; `ret_text` says what. */
bool gpu_case_right(struct gpu_case *gcase, char ret_text[GPU_CASE_TEXT_BYTES]);
void gpu_case_free(struct gpu_case *gcase);

/* Device memory set to one byte, at once. Must work. */
void gpu_case_set(struct tfops_engine *engine, void *memory, unsigned char byte, size_t bytes);
/* Bytes of device memory that are free. */
size_t gpu_case_free_bytes(struct tfops_engine *engine);

/* A tensor of the operand as the layout has it, at `data`. */
struct tfops_tensor gpu_case_tensor(const struct tfops_problem *problem,
    const struct buffers_layout *layout, size_t operand, void *data);

#endif
