/* Keys (see key.h). Stage between request and plan table. Pure. */
#include "key.h"
#include "base/hash.h"
#include <stdio.h>
#include <string.h>
#include <tfops/tensor.h>

int key_dynamic_dim(const struct tfops_spec *spec)
{
    for (size_t i = 0; i < spec->n_dims; i++)
        if (spec->dims[i].flags & TFOPS_DIM_DYNAMIC)
            return (int)i;
    return -1;
}

void key_make(const struct tfops_problem *problem, struct key *ret_key)
{
    const struct tfops_spec *spec = problem->spec;
    const uint8_t *option = problem->options, *dtype = problem->dtypes;
    uint64_t *words = ret_key->words;
    words[0] = (uintptr_t)spec;
    words[2] = problem->present | (uint64_t)problem->align << 32 | (uint64_t)problem->flags << 48 |
               (uint64_t)option[0] << 56;
    words[1] = dtype[0] | (uint64_t)dtype[1] << 8 | (uint64_t)dtype[2] << 16 |
               (uint64_t)dtype[3] << 24 | (uint64_t)option[1] << 32 | (uint64_t)option[2] << 40 |
               (uint64_t)option[3] << 48 | (uint64_t)(option[4] << 4 | option[5]) << 56;
    size_t n = 3;
    for (size_t i = 0; i < spec->n_dims; i++)
        if (!spec->dims[i].flags)
            words[n++] = (uint64_t)problem->dims[i];
    while (n < KEY_WORDS)
        words[n++] = 0;
}

uint64_t key_hash(const struct key *key)
{
    uint64_t hash = 0;
    for (int i = 0; i < KEY_WORDS; i++)
        hash = hash_mix(hash, key->words[i]);
    return hash;
}

bool key_equal(const struct key *a, const struct key *b)
{
    uint64_t difference = 0;
    for (int i = 0; i < KEY_WORDS; i++)
        difference |= a->words[i] ^ b->words[i];
    return !difference;
}

struct text {
    char *at;
    size_t bytes, length;
};

static void add(struct text *text, const char *name, const char *value)
{
    size_t left = text->length < text->bytes ? text->bytes - text->length : 0;
    int n = snprintf(left ? text->at + text->length : NULL, left, "%s%s=%s",
        text->length ? " " : "", name, value);
    text->length += n > 0 ? (size_t)n : 0;
}

static void add_int(struct text *text, const char *name, long long value)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%lld", value);
    add(text, name, digits);
}

/* Problems are printed before they are checked too: to say what is wrong with them. */
static const char *value_name(const struct tfops_option_spec *option, unsigned index)
{
    return index < option->n_values ? option->values[index] : "?";
}

void key_text(const struct tfops_problem *problem, char ret_text[KEY_TEXT_BYTES])
{
    const struct tfops_spec *spec = problem->spec;
    struct text text = {ret_text, KEY_TEXT_BYTES, 0};
    ret_text[0] = '\0';
    for (size_t i = 0; i < spec->n_dims; i++)
        if (!spec->dims[i].flags)
            add_int(&text, spec->dims[i].name, (long long)problem->dims[i]);
    for (size_t i = 0; i < spec->n_dtypes; i++)
        add(&text, spec->dtypes[i].name, tfops_dtype_name((enum tfops_dtype)problem->dtypes[i]));
    for (size_t i = 0; i < spec->n_options; i++)
        add(&text, spec->options[i].name, value_name(&spec->options[i], problem->options[i]));
    for (size_t i = 0; i < spec->n_operands; i++)
        if (spec->operands[i].flags & TFOPS_OPERAND_OPTIONAL)
            add_int(&text, spec->operands[i].name, problem->present >> i & 1);
    add_int(&text, "align", problem->align);
    if (problem->flags & TFOPS_BATCH_INVARIANT)
        add_int(&text, "batch_invariant", 1);
}
