/* Checking and copying specs (see spec_check.h). */
#include "spec_check.h"
#include "base/error.h"
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <tfops/tensor.h>

static enum tfops_status bad(const struct tfops_spec *spec, const char *field, const char *rule)
{
    char subject[128];
    snprintf(subject, sizeof subject, "%s.%s", spec->name ? spec->name : "?", field);
    return error_set(TFOPS_E_ABI, "spec", subject, rule, NULL);
}

/* A name that can stand in C, on a command line and in a key: letters, digits, underscores. */
static bool is_name(const char *name, bool upper)
{
    if (!name || !*name || isdigit((unsigned char)*name) || strlen(name) > 40)
        return false;
    for (; *name; name++) {
        unsigned char c = (unsigned char)*name;
        bool letter = upper ? (c >= 'A' && c <= 'Z') : (c >= 'a' && c <= 'z');
        if (!letter && !(c >= '0' && c <= '9') && c != '_')
            return false;
    }
    return true;
}

/* A value that can stand behind NAME= in a list of such pairs. */
static bool is_value(const char *value)
{
    return value && *value && strlen(value) <= 40 && !strpbrk(value, " \t\n=,");
}

static enum tfops_status check_counts(const struct tfops_spec *spec)
{
    const struct {
        const char *field;
        const void *table;
        size_t n, least, most;
    } TABLES[] = {
        {"dims", spec->dims, spec->n_dims, 1, TFOPS_MAX_DIMS},
        {"dtypes", spec->dtypes, spec->n_dtypes, 1, TFOPS_MAX_DTYPES},
        {"options", spec->options, spec->n_options, 0, TFOPS_MAX_OPTIONS},
        {"scalars", spec->scalars, spec->n_scalars, 0, TFOPS_MAX_SCALARS},
        {"operands", spec->operands, spec->n_operands, 1, TFOPS_MAX_OPERANDS},
        {"tunables", spec->tunables, spec->n_tunables, 0, TFOPS_MAX_TUNABLES},
        {"constants", spec->constants, spec->n_constants, 0, TFOPS_MAX_CONSTANTS},
    };
    for (size_t i = 0; i < sizeof TABLES / sizeof TABLES[0]; i++) {
        if (TABLES[i].n < TABLES[i].least || TABLES[i].n > TABLES[i].most)
            return bad(spec, TABLES[i].field, "a number of entries within the ABI's limits");
        if (TABLES[i].n && !TABLES[i].table)
            return bad(spec, TABLES[i].field, "a table");
    }
    return TFOPS_OK;
}

static enum tfops_status check_dims(const struct tfops_spec *spec)
{
    size_t n_dynamic = 0, n_static = 0;
    for (size_t i = 0; i < spec->n_dims; i++) {
        const struct tfops_dim_spec *dim = &spec->dims[i];
        n_dynamic += dim->flags == TFOPS_DIM_DYNAMIC;
        n_static += !dim->flags;
        if (dim->flags > TFOPS_DIM_DERIVED || dim->flags & (dim->flags - 1))
            return bad(spec, "dims.flags", "at most one known flag");
        if (dim->flags == TFOPS_DIM_DERIVED && !spec->derive)
            return bad(spec, "derive", "a callback beside derived dimensions");
        if (!is_name(dim->name, false) || dim->min < 0 || dim->max < dim->min)
            return bad(spec, "dims", "lower-case names and 0 ≤ min ≤ max");
    }
    if (n_dynamic != 1 || n_static > TFOPS_MAX_STATIC)
        return bad(spec, "dims", "exactly one dynamic and at most 6 static dimensions");
    return TFOPS_OK;
}

static enum tfops_status check_dtypes(const struct tfops_spec *spec)
{
    const uint32_t known = (1u << TFOPS_DTYPE_COUNT) - 2;
    for (size_t i = 0; i < spec->n_dtypes; i++)
        if (!is_name(spec->dtypes[i].name, false) || !spec->dtypes[i].allowed ||
            spec->dtypes[i].allowed & ~known)
            return bad(spec, "dtypes", "lower-case names and at least one allowed dtype");
    if (strcmp(spec->dtypes[0].name, "dtype"))
        return bad(spec, "dtypes[0].name", "dtype");
    return TFOPS_OK;
}

static bool are_values(const struct tfops_option_spec *option)
{
    for (size_t i = 0; i < option->n_values; i++) {
        if (!is_value(option->values[i]))
            return false;
        for (size_t k = 0; k < i; k++)
            if (!strcmp(option->values[i], option->values[k]))
                return false;
    }
    return true;
}

static enum tfops_status check_options(const struct tfops_spec *spec)
{
    for (size_t i = 0; i < spec->n_options; i++) {
        const struct tfops_option_spec *option = &spec->options[i];
        if (!is_name(option->name, false) || !option->n_values || option->n_values > 15 ||
            !option->values || !are_values(option))
            return bad(
                spec, "options", "lower-case names and 1 to 15 values, each a word of its own");
    }
    return TFOPS_OK;
}

static enum tfops_status check_scalars(const struct tfops_spec *spec)
{
    for (size_t i = 0; i < spec->n_scalars; i++) {
        const struct tfops_scalar_spec *scalar = &spec->scalars[i];
        if (!is_name(scalar->name, false) || !(scalar->min <= scalar->default_value) ||
            !(scalar->default_value <= scalar->max))
            return bad(spec, "scalars", "lower-case names and min ≤ default ≤ max");
    }
    return TFOPS_OK;
}

/* A launch takes each extent from a tensor: one that is always there, if the extent must be. */
static enum tfops_status check_bound(const struct tfops_spec *spec)
{
    uint32_t required = 0, bound = 0;
    for (size_t i = 0; i < spec->n_operands; i++)
        for (int d = 0; d < spec->operands[i].rank; d++) {
            bound |= 1u << spec->operands[i].dims[d];
            if (!(spec->operands[i].flags & TFOPS_OPERAND_OPTIONAL))
                required |= 1u << spec->operands[i].dims[d];
        }
    for (size_t i = 0; i < spec->n_dims; i++) {
        const struct tfops_dim_spec *dim = &spec->dims[i];
        if (dim->flags == TFOPS_DIM_DERIVED || required >> i & 1)
            continue;
        if (!(bound >> i & 1) || dim->flags == TFOPS_DIM_DYNAMIC || dim->min)
            return bad(spec, "dims", "each in a required operand, or in an optional one from 0");
    }
    return TFOPS_OK;
}

/* Indices are whole numbers, in dimensions that are there. */
static bool are_flags(const struct tfops_spec *spec, const struct tfops_operand_spec *operand)
{
    const uint32_t whole = 1u << TFOPS_I32 | 1u << TFOPS_I64;
    const uint32_t plain = TFOPS_OPERAND_OPTIONAL | TFOPS_OPERAND_ROWS | TFOPS_OPERAND_ELEMENTS;
    const uint32_t indices = operand->flags & ~plain;
    const uint32_t known = TFOPS_OPERAND_DISTINCT | (TFOPS_OPERAND_INDEX(spec->n_dims) - 0x100u);
    return !indices || (!(indices & ~known) && indices & ~TFOPS_OPERAND_DISTINCT &&
                           !(spec->dtypes[operand->dtype].allowed & ~whole));
}

static enum tfops_status check_operands(const struct tfops_spec *spec)
{
    for (size_t i = 0; i < spec->n_operands; i++) {
        const struct tfops_operand_spec *operand = &spec->operands[i];
        if ((unsigned)operand->access > TFOPS_INOUT)
            return bad(spec, "operands.access", "TFOPS_IN, TFOPS_OUT or TFOPS_INOUT");
        if (operand->may_alias >> spec->n_operands)
            return bad(spec, "operands.may_alias", "bits of operands");
        if (!is_name(operand->name, false))
            return bad(spec, "operands", "lower-case names");
        if (operand->dtype < 0 || (size_t)operand->dtype >= spec->n_dtypes)
            return bad(spec, "operands.dtype", "an index of dtypes");
        if (!are_flags(spec, operand))
            return bad(spec, "operands.flags", "known flags, those of indices for whole numbers");
        if (operand->rank < 1 || operand->rank > TFOPS_MAX_OPERAND_RANK)
            return bad(spec, "operands.rank", "1 to 4");
        for (int d = 0; d < operand->rank; d++)
            if (operand->dims[d] < 0 || (size_t)operand->dims[d] >= spec->n_dims)
                return bad(spec, "operands.dims", "indices of dims");
    }
    return TFOPS_OK;
}

static enum tfops_status check_tunables(const struct tfops_spec *spec)
{
    for (size_t i = 0; i < spec->n_tunables; i++) {
        const struct tfops_tunable_spec *tunable = &spec->tunables[i];
        if (!is_name(tunable->name, true) || !tunable->n_values || !tunable->values)
            return bad(spec, "tunables", "upper-case names and at least one value");
    }
    for (size_t i = 0; i < spec->n_constants; i++)
        if (!is_name(spec->constants[i].name, true))
            return bad(spec, "constants", "upper-case names");
    if (spec->n_tunables && (!spec->constraint || !spec->default_config))
        return bad(spec, "constraint", "constraint and default_config beside tunables");
    return TFOPS_OK;
}

/* Names that share the NAME=VALUE space of a problem must differ. */
static enum tfops_status check_unique(const struct tfops_spec *spec)
{
    const char *names[64] = {"align", "batch_invariant"};
    size_t n = 2;
    for (size_t i = 0; i < spec->n_dims; i++)
        names[n++] = spec->dims[i].name;
    for (size_t i = 0; i < spec->n_dtypes; i++)
        names[n++] = spec->dtypes[i].name;
    for (size_t i = 0; i < spec->n_options; i++)
        names[n++] = spec->options[i].name;
    for (size_t i = 0; i < spec->n_operands; i++)
        names[n++] = spec->operands[i].name;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++)
            if (!strcmp(names[i], names[k]))
                return bad(spec, names[i], "a name used once");
    return TFOPS_OK;
}

/* What the renderer puts into Cfg, each name once. Names are compared in any case. */
struct constants {
    const struct tfops_spec *spec;
    char names[96][48];
    size_t n;
    const char *twice;
};

static void add_constant(struct constants *constants, const char *prefix, const char *name)
{
    char *added = constants->names[constants->n];
    snprintf(added, sizeof constants->names[0], "%s%s", prefix, name);
    for (char *c = added; *c; c++)
        *c = (char)toupper((unsigned char)*c);
    for (size_t i = 0; i < constants->n; i++)
        if (!strcmp(constants->names[i], added))
            constants->twice = added;
    constants->n++;
}

static void add_geometry(struct constants *constants)
{
    static const char *const GEOMETRY[] = {"THREADS", "MIN_BLOCKS", "CLUSTER", "SMEM_BYTES", "PDL"};
    for (size_t g = 0; g < sizeof GEOMETRY / sizeof GEOMETRY[0]; g++) {
        bool tunable = false; /* then it is the geometry's value */
        for (size_t i = 0; i < constants->spec->n_tunables; i++)
            tunable |= !strcmp(constants->spec->tunables[i].name, GEOMETRY[g]);
        if (!tunable)
            add_constant(constants, "", GEOMETRY[g]);
    }
}

static enum tfops_status check_constants(const struct tfops_spec *spec)
{
    struct constants constants = {.spec = spec};
    add_constant(&constants, "", "ALIGN");
    add_constant(&constants, "", "BATCH_INVARIANT");
    add_geometry(&constants);
    for (size_t i = 0; i < spec->n_dtypes; i++)
        add_constant(&constants, "", spec->dtypes[i].name);
    for (size_t i = 0; i < spec->n_dims; i++)
        if (!spec->dims[i].flags)
            add_constant(&constants, "", spec->dims[i].name);
    for (size_t i = 0; i < spec->n_options; i++)
        add_constant(&constants, "", spec->options[i].name);
    for (size_t i = 0; i < spec->n_operands; i++)
        if (spec->operands[i].flags & TFOPS_OPERAND_OPTIONAL)
            add_constant(&constants, "HAS_", spec->operands[i].name);
    for (size_t i = 0; i < spec->n_constants; i++)
        add_constant(&constants, "", spec->constants[i].name);
    for (size_t i = 0; i < spec->n_tunables; i++)
        add_constant(&constants, "", spec->tunables[i].name);
    return constants.twice ? bad(spec, constants.twice, "a constant of Cfg defined once")
                           : TFOPS_OK;
}

static enum tfops_status check_callbacks(const struct tfops_spec *spec)
{
    const struct {
        const char *field;
        bool given;
    } REQUIRED[] = {
        {"template_path", spec->template_path != NULL},
        {"body", spec->body != NULL},
        {"params_type", spec->params_type != NULL},
        {"geometry", spec->geometry != NULL},
        {"pack", spec->pack != NULL},
        {"cost", spec->cost != NULL},
        {"tolerance", spec->tolerance != NULL},
        {"reference", spec->reference != NULL},
    };
    for (size_t i = 0; i < sizeof REQUIRED / sizeof REQUIRED[0]; i++)
        if (!REQUIRED[i].given)
            return bad(spec, REQUIRED[i].field, "not NULL");
    if (!spec->param_bytes || spec->param_bytes > TFOPS_MAX_PARAM_BYTES)
        return bad(spec, "param_bytes", "1 to 4096");
    return TFOPS_OK;
}

enum tfops_status spec_check(const struct tfops_spec *spec)
{
    if (!spec)
        return error_set(TFOPS_E_ARGUMENT, "spec", "spec", "a spec", "NULL");
    if (spec->size != sizeof *spec || spec->abi != TFOPS_SPEC_ABI)
        return error_setf(TFOPS_E_ABI, 0, "spec", "abi",
            "expected ABI %d of %zu bytes, got ABI %u of %zu bytes", TFOPS_SPEC_ABI, sizeof *spec,
            spec->size >= sizeof *spec ? spec->abi : 0, spec->size);
    if (!is_name(spec->name, false))
        return bad(spec, "name", "lower-case letters, digits and underscores");
    enum tfops_status (*const CHECKS[])(const struct tfops_spec *) = {check_counts, check_dims,
        check_dtypes, check_options, check_scalars, check_operands, check_bound, check_tunables,
        check_unique, check_constants, check_callbacks};
    enum tfops_status status = TFOPS_OK;
    for (size_t i = 0; !status && i < sizeof CHECKS / sizeof CHECKS[0]; i++)
        status = CHECKS[i](spec);
    return status;
}
