/* What libcount_shim.so exports beside the symbols it forwards (dlsym() on its handle). */
#ifndef TFOPS_TESTS_COUNT_SHIM_H
#define TFOPS_TESTS_COUNT_SHIM_H

#include <stdint.h>

/* Calls of a symbol, or a sum: "compiles", "module_loads", "launches", "allocations". UINT64_MAX
 * for another name. */
uint64_t count_shim_value(const char *name);
/* Writes the line of counts now; one is written at exit in any case. */
void count_shim_report(void);

#endif
