/* Loading a binary into the current context. */
#ifndef TFOPS_ENGINE_MODULE_H
#define TFOPS_ENGINE_MODULE_H

#include "cache/binary_store.h"
#include "driver.h"

struct module {
    CUmodule handle;
    CUfunction function;
};

/* Loads eagerly (usable under stream capture afterwards) and sets the shared-memory attributes. */
enum tfops_status module_load(
    const struct driver *driver, const struct binary *binary, struct module *ret_module);
void module_unload(const struct driver *driver, struct module *module);

#endif
