/* The operators of one engine: the built-in table and copies of what was registered. */
#ifndef TFOPS_ENGINE_OPERATORS_H
#define TFOPS_ENGINE_OPERATORS_H

#include "base/env.h"
#include <cuda.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tfops/spec.h>

enum { OPERATORS_MAX = 256, OPERATORS_MAX_PLUGINS = 32 };

/* Entries are appended only, so that an index, once given, stays. */
struct operators {
    struct entry {
        const struct tfops_spec *spec;
        bool owned;
        struct generic { /* filled by generic.c */
            bool tried, loaded;
            CUfunction function;
            uint32_t registers;
            uint8_t sha256[32];
        } generic;
    } entries[OPERATORS_MAX];
    size_t n;
    void *plugins[OPERATORS_MAX_PLUGINS]; /* dlopen handles, parallel to their paths */
    char *plugin_paths[OPERATORS_MAX_PLUGINS];
    size_t n_plugins;
};

enum tfops_status operators_init(struct operators *operators); /* the built-in ones, checked */
void operators_release(const struct env *env, struct operators *operators);
enum tfops_status operators_add(
    const struct env *env, struct operators *operators, const struct tfops_spec *spec);
/* Loads a plug-in and adds its operators. The library stays loaded until release. */
enum tfops_status operators_load(
    const struct env *env, struct operators *operators, const char *path);
const struct tfops_spec *operators_find(const struct operators *operators, const char *name);
/* The index of a spec of this table; -1 when it is not one. */
int operators_index(const struct operators *operators, const struct tfops_spec *spec);

#endif
