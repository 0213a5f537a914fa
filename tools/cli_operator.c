/* An operator's description for people and programs (see cli_operator.h). */
#include "cli_operator.h"
#include "cli_text.h"
#include <stdio.h>
#include <tfops/engine.h>

bool cli_operator_supports(
    const struct tfops_spec *spec, const char *arch, char ret_reason[TFOPS_REASON_BYTES])
{
    ret_reason[0] = 0;
    return !spec->supports || spec->supports(spec->user, arch, ret_reason);
}

static void dtypes_text(const struct tfops_dtype_spec *dtype, char *ret_text, size_t bytes)
{
    ret_text[0] = 0;
    for (int code = TFOPS_NONE + 1; code < TFOPS_DTYPE_COUNT; code++)
        if (dtype->allowed >> code & 1)
            cli_text_list(ret_text, bytes, tfops_dtype_name((enum tfops_dtype)code));
}

static void print_values(const struct tfops_tunable_spec *tunable)
{
    printf("    %s:", tunable->name);
    for (size_t i = 0; i < tunable->n_values; i++)
        printf(" %lld", (long long)tunable->values[i]);
    printf("%s%s\n", tunable->help ? "   " : "", tunable->help ? tunable->help : "");
}

static const char *help_text(const char *help)
{
    return help ? help : "";
}

static void print_tables(const struct tfops_spec *spec)
{
    for (size_t i = 0; i < spec->n_options; i++) {
        printf("    %s:", spec->options[i].name);
        for (size_t v = 0; v < spec->options[i].n_values; v++)
            printf(" %s", spec->options[i].values[v]);
        printf("   %s\n", help_text(spec->options[i].help));
    }
    for (size_t i = 0; i < spec->n_scalars; i++)
        printf("    %s (at launch): default %g   %s\n", spec->scalars[i].name,
            spec->scalars[i].default_value, help_text(spec->scalars[i].help));
    for (size_t i = 0; i < spec->n_operands; i++)
        printf("    %s (tensor%s)   %s\n", spec->operands[i].name,
            spec->operands[i].flags & TFOPS_OPERAND_OPTIONAL ? ", optional" : "",
            help_text(spec->operands[i].help));
    for (size_t i = 0; i < spec->n_tunables; i++)
        print_values(&spec->tunables[i]);
}

void cli_operator_print(const struct tfops_spec *spec, bool tables)
{
    printf("\n%s   %s\n", spec->name, help_text(spec->summary));
    for (size_t i = 0; i < spec->n_dims; i++)
        printf("    %s: %lld … %lld%s   %s\n", spec->dims[i].name, (long long)spec->dims[i].min,
            (long long)spec->dims[i].max,
            spec->dims[i].flags == TFOPS_DIM_DERIVED ? ", derived"
            : spec->dims[i].flags                    ? ", at launch"
                                                     : "",
            help_text(spec->dims[i].help));
    for (size_t i = 0; i < spec->n_dtypes; i++) {
        char names[128];
        dtypes_text(&spec->dtypes[i], names, sizeof names);
        printf("    %s: %s   %s\n", spec->dtypes[i].name, names, help_text(spec->dtypes[i].help));
    }
    if (tables)
        print_tables(spec);
    for (size_t i = 0; i < tfops_arch_count(); i++) {
        char reason[TFOPS_REASON_BYTES];
        const char *arch = tfops_arch_name(i);
        if (!cli_operator_supports(spec, arch, reason))
            printf("    %s: unsupported (%s)\n", arch, reason);
    }
}

/* "dimensions" lists the names, "dimension_ranges" what they may be. */
static void dims_json(json *parent, const struct tfops_spec *spec)
{
    json *names = json_add_array(parent, "dimensions");
    json *ranges = json_add_object(parent, "dimension_ranges");
    for (size_t i = 0; i < spec->n_dims; i++) {
        json_add_string(names, NULL, spec->dims[i].name);
        json *dim = json_add_object(ranges, spec->dims[i].name);
        json_add_int(dim, "min", spec->dims[i].min);
        json_add_int(dim, "max", spec->dims[i].max);
        json_add_bool(dim, "dynamic", spec->dims[i].flags & TFOPS_DIM_DYNAMIC);
        json_add_bool(dim, "free", spec->dims[i].flags & TFOPS_DIM_FREE);
        json_add_bool(dim, "derived", spec->dims[i].flags & TFOPS_DIM_DERIVED);
        json_add_string(dim, "help", spec->dims[i].help);
    }
}

static void dtype_names_json(json *array, const struct tfops_dtype_spec *dtype)
{
    for (int code = TFOPS_NONE + 1; code < TFOPS_DTYPE_COUNT; code++)
        if (dtype->allowed >> code & 1)
            json_add_string(array, NULL, tfops_dtype_name((enum tfops_dtype)code));
}

/* "dtypes" lists those of the operator's first parameter, "dtype_parameters" each one. */
static void dtypes_json(json *parent, const struct tfops_spec *spec)
{
    json *names = json_add_array(parent, "dtypes");
    if (spec->n_dtypes > 0)
        dtype_names_json(names, &spec->dtypes[0]);
    json *parameters = json_add_object(parent, "dtype_parameters");
    for (size_t i = 0; i < spec->n_dtypes; i++)
        dtype_names_json(json_add_array(parameters, spec->dtypes[i].name), &spec->dtypes[i]);
}

static void options_json(json *parent, const struct tfops_spec *spec)
{
    json *options = json_add_object(parent, "options");
    for (size_t i = 0; i < spec->n_options; i++) {
        json *values = json_add_array(options, spec->options[i].name);
        for (size_t v = 0; v < spec->options[i].n_values; v++)
            json_add_string(values, NULL, spec->options[i].values[v]);
    }
    json *scalars = json_add_object(parent, "scalars");
    for (size_t i = 0; i < spec->n_scalars; i++)
        json_add_number(scalars, spec->scalars[i].name, spec->scalars[i].default_value);
}

static void operands_json(json *parent, const struct tfops_spec *spec)
{
    static const char *const ACCESS[] = {
        [TFOPS_IN] = "in", [TFOPS_OUT] = "out", [TFOPS_INOUT] = "inout"};
    json *operands = json_add_array(parent, "operands");
    for (size_t i = 0; i < spec->n_operands; i++) {
        const struct tfops_operand_spec *operand = &spec->operands[i];
        json *object = json_add_object(operands, NULL);
        json_add_string(object, "name", operand->name);
        json_add_string(object, "access", ACCESS[operand->access]);
        json_add_bool(object, "optional", operand->flags & TFOPS_OPERAND_OPTIONAL);
        json_add_string(object, "dtype", spec->dtypes[operand->dtype].name);
        json *dims = json_add_array(object, "dimensions");
        for (int d = 0; d < operand->rank; d++)
            json_add_string(dims, NULL, spec->dims[operand->dims[d]].name);
        json_add_string(object, "help", operand->help);
    }
}

static void tunables_json(json *parent, const struct tfops_spec *spec)
{
    json *tunables = json_add_object(parent, "tunables");
    for (size_t i = 0; i < spec->n_tunables; i++) {
        json *values = json_add_array(tunables, spec->tunables[i].name);
        for (size_t v = 0; v < spec->tunables[i].n_values; v++)
            json_add_int(values, NULL, spec->tunables[i].values[v]);
    }
}

/* true, or the reason why not. */
static void support_json(json *parent, const struct tfops_spec *spec)
{
    json *support = json_add_object(parent, "support");
    for (size_t i = 0; i < tfops_arch_count(); i++) {
        char reason[TFOPS_REASON_BYTES];
        const char *arch = tfops_arch_name(i);
        if (cli_operator_supports(spec, arch, reason))
            json_add_bool(support, arch, true);
        else
            json_add_string(support, arch, reason);
    }
}

void cli_operator_json(json *parent, const struct tfops_spec *spec)
{
    json *object = json_add_object(parent, NULL);
    json_add_string(object, "name", spec->name);
    json_add_int(object, "version", spec->version);
    json_add_string(object, "summary", spec->summary);
    json_add_string(object, "formula", spec->formula);
    dims_json(object, spec);
    dtypes_json(object, spec);
    options_json(object, spec);
    operands_json(object, spec);
    tunables_json(object, spec);
    support_json(object, spec);
}
