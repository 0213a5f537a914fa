/* Deep copies of specs (see spec_check.h). */
#include "base/mem.h"
#include "spec_check.h"
#include <stdint.h>
#include <string.h>

/*
 * A copy is one arena: sizes are counted in a first pass with base == NULL, filled in a second.
 */
struct arena {
    char *base;
    size_t used;
};

static void *put(struct arena *arena, const void *data, size_t bytes)
{
    size_t at = (arena->used + 15) & ~(size_t)15;
    arena->used = at + bytes;
    if (!arena->base)
        return NULL;
    if (bytes)
        memcpy(arena->base + at, data, bytes);
    return arena->base + at;
}

static const char *put_text(struct arena *arena, const char *text)
{
    return text ? put(arena, text, strlen(text) + 1) : NULL;
}

/* Copies a table, then the strings its rows name, so that rows can be rewritten in place. */
#define PUT_TABLE(type, field, rewrite)                                                            \
    do {                                                                                           \
        type *rows = put(arena, from->field, from->n_##field * sizeof(type));                      \
        for (size_t i = 0; i < from->n_##field; i++) {                                             \
            type row = from->field[i];                                                             \
            rewrite if (rows) rows[i] = row;                                                       \
        }                                                                                          \
        to->field = rows;                                                                          \
    } while (0)

static void copy_into(struct arena *arena, const struct tfops_spec *from, struct tfops_spec *to)
{
    *to = *from;
    PUT_TABLE(struct tfops_dim_spec, dims, row.name = put_text(arena, row.name);
              row.help = put_text(arena, row.help););
    PUT_TABLE(struct tfops_dtype_spec, dtypes, row.name = put_text(arena, row.name);
              row.help = put_text(arena, row.help););
    PUT_TABLE(
        struct tfops_option_spec, options, row.name = put_text(arena, row.name);
        row.help = put_text(arena, row.help);
        const char **values = put(arena, row.values, row.n_values * sizeof *values);
        for (size_t k = 0; k < row.n_values; k++) {
            const char *value = put_text(arena, row.values[k]);
            if (values)
                values[k] = value;
        } row.values = values;);
    PUT_TABLE(struct tfops_scalar_spec, scalars, row.name = put_text(arena, row.name);
              row.help = put_text(arena, row.help););
    PUT_TABLE(struct tfops_operand_spec, operands, row.name = put_text(arena, row.name);
              row.help = put_text(arena, row.help););
    PUT_TABLE(struct tfops_tunable_spec, tunables, row.name = put_text(arena, row.name);
              row.help = put_text(arena, row.help);
              row.values = put(arena, row.values, row.n_values * sizeof *row.values););
    PUT_TABLE(struct tfops_constant_spec, constants, row.name = put_text(arena, row.name););
    const char **TEXTS[] = {&to->name, &to->summary, &to->formula, &to->template_path, &to->source,
        &to->body, &to->generic_body, &to->params_type, &to->device_reference_body};
    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++)
        *TEXTS[i] = put_text(arena, *TEXTS[i]);
}

enum tfops_status spec_copy(
    const struct env *env, const struct tfops_spec *spec, struct tfops_spec **ret_copy)
{
    struct tfops_spec copy;
    struct arena arena = {0};
    put(&arena, NULL, 0);
    copy_into(&arena, spec, &copy);
    size_t head = (sizeof copy + 15) & ~(size_t)15;
    char *memory = mem_new(env, 1, head + arena.used);
    if (!memory)
        return TFOPS_E_MEMORY;
    arena = (struct arena){.base = memory + head};
    copy_into(&arena, spec, &copy);
    memcpy(memory, &copy, sizeof copy);
    *ret_copy = (struct tfops_spec *)(void *)memory;
    return TFOPS_OK;
}

void spec_free(const struct env *env, struct tfops_spec *spec)
{
    mem_free(env, spec);
}
