/* Host memory: the only file that allocates. Sizes are multiplied with an overflow check. */
#ifndef TFOPS_BASE_MEM_H
#define TFOPS_BASE_MEM_H

#include "base/env.h"

/* n · size zeroed bytes; NULL on failure or overflow, with the error record set (TFOPS_E_MEMORY). */
void *mem_new(const struct env *env, size_t n, size_t size);
/* Moves `memory` of old_n elements to new_n ≥ old_n; the tail is zeroed. The old block stays on failure. */
void *mem_grow(const struct env *env, void *memory, size_t old_n, size_t new_n, size_t size);
void *mem_copy(const struct env *env, const void *data, size_t bytes);
char *mem_strdup(const struct env *env, const char *text);
void mem_free(const struct env *env, void *memory); /* NULL is fine */

#endif
