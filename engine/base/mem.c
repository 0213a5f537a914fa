/* Host memory (see mem.h). */
#include "base/mem.h"
#include "base/error.h"
#include <stdlib.h>
#include <string.h>

static void *take(const struct env *env, size_t bytes)
{
    return env && env->alloc ? env->alloc(env->alloc_user, bytes) : malloc(bytes);
}

void *mem_new(const struct env *env, size_t n, size_t size)
{
    size_t bytes;
    void *memory = NULL;
    if (!__builtin_mul_overflow(n, size, &bytes))
        memory = take(env, bytes ? bytes : 1);
    if (!memory) {
        error_setf(TFOPS_E_MEMORY, 0, "mem", "", "cannot allocate %zu × %zu bytes", n, size);
        return NULL;
    }
    return memset(memory, 0, bytes);
}

void *mem_grow(const struct env *env, void *memory, size_t old_n, size_t new_n, size_t size)
{
    void *moved = mem_new(env, new_n, size);
    if (!moved)
        return NULL;
    if (memory)
        memcpy(moved, memory, old_n * size);
    mem_free(env, memory);
    return moved;
}

void *mem_copy(const struct env *env, const void *data, size_t bytes)
{
    void *copy = mem_new(env, bytes, 1);
    return copy && bytes ? memcpy(copy, data, bytes) : copy;
}

char *mem_strdup(const struct env *env, const char *text)
{
    return mem_copy(env, text, strlen(text) + 1);
}

void mem_free(const struct env *env, void *memory)
{
    if (!memory)
        return;
    if (env && env->free)
        env->free(env->alloc_user, memory);
    else
        free(memory);
}
