/*
 * The operators of one engine: the built-in table and copies of what was registered. Readers need no
 * lock: an entry below `n` is complete and stays as it is. Writers are one at a time: the engine at
 * open, then whoever holds its register_lock.
 */
#ifndef TFOPS_ENGINE_OPERATORS_H
#define TFOPS_ENGINE_OPERATORS_H

#include "base/env.h"
#include <cuda.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tfops/spec.h>

enum { OPERATORS_MAX = 256, OPERATORS_MAX_PLUGINS = 32 };

struct operators {
    struct entry {
        const struct tfops_spec *spec;
        bool owned;
        struct generic { /* filled by generic.c */
            bool loaded;
            CUfunction function;
            uint32_t registers;
            uint8_t sha256[32];
        } generic;
    } entries[OPERATORS_MAX];
    atomic_size_t n;
    void *plugins[OPERATORS_MAX_PLUGINS]; /* dlopen handles, parallel to their paths */
    char *plugin_paths[OPERATORS_MAX_PLUGINS];
    size_t n_plugins;
};

enum tfops_status operators_init(struct operators *operators); /* the built-in ones, checked */
void operators_release(const struct env *env, struct operators *operators);
/* A checked copy in the entry behind the last, which operators_publish() makes visible, complete. */
enum tfops_status operators_stage(const struct env *env, struct operators *operators,
    const struct tfops_spec *spec, struct entry **ret_entry);
void operators_publish(struct operators *operators);
/* Loads a plug-in and adds its operators. The library stays loaded until release. */
enum tfops_status operators_load(
    const struct env *env, struct operators *operators, const char *path);
size_t operators_count(const struct operators *operators);
const struct tfops_spec *operators_find(const struct operators *operators, const char *name);
/* The index of a spec of this table; -1 when it is not one. */
int operators_index(const struct operators *operators, const struct tfops_spec *spec);

#endif
