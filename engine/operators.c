/* The operators of an engine (see operators.h). */
#include "operators.h"
#include "base/error.h"
#include "base/mem.h"
#include "kernels/registry.h"
#include "spec_check.h"
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static enum tfops_status stage(struct operators *operators, const struct tfops_spec *spec,
    bool owned, struct entry **ret_entry)
{
    size_t n = atomic_load_explicit(&operators->n, memory_order_relaxed);
    if (n == OPERATORS_MAX)
        return error_setf(TFOPS_E_RANGE, 0, "operators", spec->name, "no room beyond %d operators",
            OPERATORS_MAX);
    operators->entries[n] = (struct entry){.spec = spec, .owned = owned};
    *ret_entry = &operators->entries[n];
    return TFOPS_OK;
}

void operators_publish(struct operators *operators)
{
    atomic_fetch_add_explicit(&operators->n, 1, memory_order_release);
}

size_t operators_count(const struct operators *operators)
{
    return atomic_load_explicit(&operators->n, memory_order_acquire);
}

enum tfops_status operators_init(struct operators *operators)
{
    struct entry *entry;
    enum tfops_status status = TFOPS_OK;
    *operators = (struct operators){0};
    for (size_t i = 0; !status && i < registry_count; i++) {
        status = spec_check(registry_specs[i]);
        if (!status)
            status = stage(operators, registry_specs[i], false, &entry);
        if (!status)
            operators_publish(operators);
    }
    return status;
}

void operators_release(const struct env *env, struct operators *operators)
{
    for (size_t i = 0, n = operators_count(operators); i < n; i++)
        if (operators->entries[i].owned)
            spec_free(env, (struct tfops_spec *)(uintptr_t)operators->entries[i].spec);
    for (size_t i = 0; i < operators->n_plugins; i++) {
        dlclose(operators->plugins[i]);
        mem_free(env, operators->plugin_paths[i]);
    }
    *operators = (struct operators){0};
}

enum tfops_status operators_stage(const struct env *env, struct operators *operators,
    const struct tfops_spec *spec, struct entry **ret_entry)
{
    struct tfops_spec *copy;
    enum tfops_status status = spec_check(spec);
    if (status)
        return status;
    if (operators_find(operators, spec->name))
        return error_set(TFOPS_E_ARGUMENT, "operators", spec->name, "a new name",
            "one that is registered already");
    status = spec_copy(env, spec, &copy);
    if (status)
        return status;
    status = stage(operators, copy, true, ret_entry);
    if (status)
        spec_free(env, copy);
    return status;
}

static enum tfops_status add_all(
    const struct env *env, struct operators *operators, const char *path, void *library)
{
    tfops_plugin_fn entry;
    size_t count = 0;
    void *address = dlsym(library, TFOPS_PLUGIN_SYMBOL);
    memcpy(&entry, &address, sizeof entry);
    const struct tfops_spec *const *specs = entry ? entry(&count) : NULL;
    if (!specs)
        return error_set(TFOPS_E_ABI, "plugin", path, "a shared object that exports tfops_plugin()",
            entry ? "one that returns no specs" : "one that does not");
    enum tfops_status status = TFOPS_OK;
    for (size_t i = 0; !status && i < count; i++) {
        struct entry *entry;
        status = operators_stage(env, operators, specs[i], &entry);
        if (!status)
            operators_publish(operators);
    }
    return status;
}

enum tfops_status operators_load(
    const struct env *env, struct operators *operators, const char *path)
{
    if (operators->n_plugins == OPERATORS_MAX_PLUGINS)
        return error_setf(
            TFOPS_E_RANGE, 0, "plugin", path, "no room beyond %d plug-ins", OPERATORS_MAX_PLUGINS);
    char *copy = mem_strdup(env, path);
    if (!copy)
        return TFOPS_E_MEMORY;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        mem_free(env, copy);
        return error_setf(TFOPS_E_ABI, 0, "plugin", path, "cannot be loaded: %s", dlerror());
    }
    operators->plugins[operators->n_plugins] = library;
    operators->plugin_paths[operators->n_plugins++] = copy;
    return add_all(env, operators, path, library);
}

const struct tfops_spec *operators_find(const struct operators *operators, const char *name)
{
    for (size_t i = 0, n = operators_count(operators); name && i < n; i++)
        if (!strcmp(operators->entries[i].spec->name, name))
            return operators->entries[i].spec;
    return NULL;
}

int operators_index(const struct operators *operators, const struct tfops_spec *spec)
{
    for (size_t i = 0, n = operators_count(operators); i < n; i++)
        if (operators->entries[i].spec == spec)
            return (int)i;
    return -1;
}
