/* Specs: each contradiction is named, copies are deep. */
#include "kernels/registry.h"
#include "spec_check.h"
#include "tests/support/expect.h"
#include "tests/support/toy_spec.h"
#include <criterion/criterion.h>

static struct toy toy;

static void begin(void)
{
    toy_init(&toy);
}

TestSuite(spec_check, .init = begin);
TestSuite(spec_copy, .init = begin);

Test(spec_check, takes_the_toy_and_all_built_in_operators)
{
    EXPECT_OK(spec_check(&toy.spec));
    for (size_t i = 0; i < registry_count; i++)
        EXPECT_OK(spec_check(registry_specs[i]));
}

#define REFUSED(change, field)                                                                     \
    do {                                                                                           \
        toy_init(&toy);                                                                            \
        change;                                                                                    \
        EXPECT_STATUS(spec_check(&toy.spec), TFOPS_E_ABI);                                         \
        EXPECT_CONTAINS(expect_error().subject, field);                                            \
    } while (0)

Test(spec_check, refuses_another_abi)
{
    EXPECT_REFUSED(spec_check(NULL), TFOPS_E_ARGUMENT, "spec");
    REFUSED(toy.spec.abi = 2, "abi");
    REFUSED(toy.spec.abi = 0, "abi");
    REFUSED(toy.spec.size = sizeof toy.spec - 8, "abi");
    REFUSED(toy.spec.size = 0, "abi");
    EXPECT_CONTAINS(expect_error().message, "expected ABI 1");
}

Test(spec_check, refuses_names_that_cannot_stand_everywhere)
{
    static const char *const NAMES[] = {NULL, "", "Toy", "1toy", "to y", "to-y", "töy",
        "a_name_that_has_more_than_forty_characters"};
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        REFUSED(toy.spec.name = NAMES[i], "name");
        REFUSED(toy.dims[TOY_N].name = NAMES[i], "dims");
        REFUSED(toy.dtypes[1].name = NAMES[i], "dtypes");
        REFUSED(toy.options[0].name = NAMES[i], "options");
        REFUSED(toy.scalars[0].name = NAMES[i], "scalars");
        REFUSED(toy.operands[TOY_Y].name = NAMES[i], "operands");
        REFUSED(toy.tunables[0].name = NAMES[i], "tunables");
        REFUSED(toy.constants[0].name = NAMES[i], "constants");
    }
    REFUSED(toy.tunables[0].name = "threads", "tunables");
    REFUSED(toy.constants[0].name = "seven", "constants");
}

Test(spec_check, refuses_counts_beyond_the_abi)
{
    REFUSED(toy.spec.n_dims = 0, "dims");
    REFUSED(toy.spec.n_dims = TFOPS_MAX_DIMS + 1, "dims");
    REFUSED(toy.spec.n_dtypes = 0, "dtypes");
    REFUSED(toy.spec.n_dtypes = 5, "dtypes");
    REFUSED(toy.spec.n_options = 7, "options");
    REFUSED(toy.spec.n_scalars = 9, "scalars");
    REFUSED(toy.spec.n_operands = 0, "operands");
    REFUSED(toy.spec.n_operands = 17, "operands");
    REFUSED(toy.spec.n_tunables = 25, "tunables");
    REFUSED(toy.spec.n_constants = 17, "constants");
    REFUSED(toy.spec.n_constants = SIZE_MAX, "constants");
}

Test(spec_check, refuses_tables_that_are_not_there)
{
    REFUSED(toy.spec.dims = NULL, "dims");
    REFUSED(toy.spec.dtypes = NULL, "dtypes");
    REFUSED(toy.spec.options = NULL, "options");
    REFUSED(toy.spec.scalars = NULL, "scalars");
    REFUSED(toy.spec.operands = NULL, "operands");
    REFUSED(toy.spec.tunables = NULL, "tunables");
    REFUSED(toy.spec.constants = NULL, "constants");
}

Test(spec_check, refuses_anything_but_one_dynamic_dimension)
{
    REFUSED(toy.dims[TOY_M].flags = 0, "dims");
    REFUSED(toy.dims[TOY_N].flags = TFOPS_DIM_DYNAMIC, "dims");
}

static int64_t derive_nothing(void *user, const struct tfops_problem *problem, size_t dim)
{
    (void)user, (void)problem, (void)dim;
    return 0;
}

Test(spec_check, refuses_dimensions_of_two_kinds_or_none)
{
    REFUSED(toy.dims[TOY_M].flags = TFOPS_DIM_DYNAMIC | TFOPS_DIM_FREE, "dims.flags");
    REFUSED(toy.dims[TOY_K].flags = TFOPS_DIM_FREE | TFOPS_DIM_DERIVED, "dims.flags");
    REFUSED(toy.dims[TOY_K].flags = 8, "dims.flags");
    REFUSED(toy.dims[TOY_K].flags = TFOPS_DIM_DERIVED, "derive");
    toy.spec.derive = derive_nothing;
    EXPECT_OK(spec_check(&toy.spec));
}

Test(spec_check, takes_an_optional_operands_dimension_only_from_0)
{
    toy.operands[TOY_Y].dims[2] = TOY_N;
    toy.operands[TOY_EXTRA].dims[0] = TOY_K;
    toy.dims[TOY_K].min = 0;
    EXPECT_OK(spec_check(&toy.spec));
    toy.dims[TOY_K].flags = TFOPS_DIM_FREE;
    EXPECT_OK(spec_check(&toy.spec));
    toy.dims[TOY_K].min = 1;
    EXPECT_STATUS(spec_check(&toy.spec), TFOPS_E_ABI);
}

Test(spec_check, refuses_ranges_that_are_none)
{
    REFUSED(toy.dims[TOY_N].min = -1, "dims");
    REFUSED(toy.dims[TOY_N].max = 0, "dims");
    REFUSED(toy.scalars[0].max = -2, "scalars");
    REFUSED(toy.scalars[0].default_value = 1.5, "scalars");
    REFUSED(toy.scalars[0].min = toy.scalars[0].default_value = __builtin_nan(""), "scalars");
}

Test(spec_check, refuses_dtype_parameters_without_a_choice)
{
    REFUSED(toy.dtypes[0].allowed = 0, "dtypes");
    REFUSED(toy.dtypes[1].allowed |= 1u << TFOPS_NONE, "dtypes");
    REFUSED(toy.dtypes[1].allowed = 1u << TFOPS_DTYPE_COUNT, "dtypes");
    REFUSED(toy.dtypes[0].name = "type", "dtypes[0].name");
}

Test(spec_check, refuses_options_without_proper_values)
{
    REFUSED(toy.options[0].n_values = 0, "options");
    REFUSED(toy.options[0].n_values = 16, "options");
    REFUSED(toy.options[0].values = NULL, "options");
    REFUSED(toy.modes[1] = NULL, "options");
    REFUSED(toy.modes[1] = "", "options");
    REFUSED(toy.modes[1] = "two words", "options"); /* would not come back from a key's text */
    REFUSED(toy.modes[1] = "a=b", "options");
    REFUSED(toy.modes[1] = "a_value_that_has_more_than_forty_characters", "options");
    REFUSED(toy.modes[1] = "first", "options"); /* twice */
}

Test(spec_check, refuses_operands_that_point_nowhere)
{
    REFUSED(toy.operands[TOY_Y].dtype = 2, "operands.dtype");
    REFUSED(toy.operands[TOY_Y].dtype = -1, "operands.dtype");
    REFUSED(toy.operands[TOY_Y].rank = 0, "operands.rank");
    REFUSED(toy.operands[TOY_Y].rank = 5, "operands.rank");
    REFUSED(toy.operands[TOY_Y].dims[2] = 3, "operands.dims");
    REFUSED(toy.operands[TOY_Y].dims[0] = -1, "operands.dims");
    REFUSED(toy.operands[TOY_Z].may_alias = 1u << 4, "operands.may_alias");
    REFUSED(toy.operands[TOY_Y].access = (enum tfops_access)3, "operands.access");
    REFUSED(toy.operands[TOY_Y].flags = 16, "operands.flags");
    REFUSED(toy.operands[TOY_Y].flags = TFOPS_OPERAND_DISTINCT, "operands.flags");
    REFUSED(toy.operands[TOY_Y].flags = TFOPS_OPERAND_INDEX(0), "operands.flags"); /* of floats */
}

Test(spec_check, refuses_a_dimension_that_no_required_operand_has)
{
    REFUSED(toy.operands[TOY_Y].dims[2] = TOY_N, "dims");
    REFUSED(toy.operands[TOY_Y].flags |= TFOPS_OPERAND_OPTIONAL, "dims");
}

Test(spec_check, refuses_tunables_without_values)
{
    REFUSED(toy.tunables[1].n_values = 0, "tunables");
    REFUSED(toy.tunables[1].values = NULL, "tunables");
}

Test(spec_check, refuses_tunables_without_a_constraint_or_a_default)
{
    REFUSED(toy.spec.constraint = NULL, "constraint");
    REFUSED(toy.spec.default_config = NULL, "constraint");
    toy_init(&toy);
    toy.spec.n_tunables = 0;
    toy.spec.constraint = NULL, toy.spec.default_config = NULL;
    EXPECT_OK(spec_check(&toy.spec));
}

Test(spec_check, refuses_names_used_twice_in_a_problem)
{
    REFUSED(toy.dims[TOY_K].name = "n", "n");
    REFUSED(toy.dims[TOY_K].name = "align", "align");
    REFUSED(toy.dtypes[1].name = "batch_invariant", "batch_invariant");
    REFUSED(toy.dtypes[1].name = "k", "k");
    REFUSED(toy.options[1].name = "mode", "mode");
    REFUSED(toy.options[1].name = "out_dtype", "out_dtype");
    REFUSED(toy.operands[TOY_EXTRA].name = "flavour", "flavour");
    REFUSED(toy.operands[TOY_Z].name = "x", "x");
}

Test(spec_check, refuses_names_used_twice_in_the_kernels_constants)
{
    REFUSED(toy.tunables[1].name = "THREADS", "THREADS");
    REFUSED(toy.tunables[1].name = "SEVEN", "SEVEN");
    REFUSED(toy.tunables[1].name = "N", "N");
    REFUSED(toy.tunables[1].name = "MODE", "MODE");
    REFUSED(toy.tunables[1].name = "ALIGN", "ALIGN");
    REFUSED(toy.constants[0].name = "HAS_EXTRA", "HAS_EXTRA");
    REFUSED(toy.constants[0].name = "DTYPE", "DTYPE");
    REFUSED(toy.constants[0].name = "BATCH_INVARIANT", "BATCH_INVARIANT");
    REFUSED(toy.constants[0].name = "SMEM_BYTES", "SMEM_BYTES");
    REFUSED(toy.options[1].name = "pdl", "PDL");
    toy_init(&toy);
    toy.constants[0].name = "HAS_X"; /* x is required: no constant of that name is made */
    EXPECT_OK(spec_check(&toy.spec));
}

Test(spec_check, refuses_what_is_missing)
{
    REFUSED(toy.spec.template_path = NULL, "template_path");
    REFUSED(toy.spec.body = NULL, "body");
    REFUSED(toy.spec.params_type = NULL, "params_type");
    REFUSED(toy.spec.geometry = NULL, "geometry");
    REFUSED(toy.spec.pack = NULL, "pack");
    REFUSED(toy.spec.cost = NULL, "cost");
    REFUSED(toy.spec.tolerance = NULL, "tolerance");
    REFUSED(toy.spec.reference = NULL, "reference");
    REFUSED(toy.spec.param_bytes = 0, "param_bytes");
    REFUSED(toy.spec.param_bytes = 4097, "param_bytes");
}

/* ---- copies ---------------------------------------------------------------------------------- */

static struct expect_heap heap;
static const struct env env = {
    .alloc = expect_heap_alloc, .free = expect_heap_free, .alloc_user = &heap};

/* Every string and number of the toy, as it was. */
static void expect_toy(const struct tfops_spec *copy)
{
    struct toy fresh;
    toy_init(&fresh);
    const struct tfops_spec *want = &fresh.spec;
    EXPECT_TEXT(copy->name, want->name);
    EXPECT_TEXT(copy->summary, want->summary);
    cr_assert_null(copy->formula);
    EXPECT_TEXT(copy->source, want->source);
    EXPECT_TEXT(copy->template_path, want->template_path);
    EXPECT_TEXT(copy->body, want->body);
    EXPECT_TEXT(copy->generic_body, want->generic_body);
    EXPECT_TEXT(copy->params_type, want->params_type);
    cr_assert_null(copy->device_reference_body);
    for (size_t i = 0; i < want->n_dims; i++) {
        EXPECT_TEXT(copy->dims[i].name, want->dims[i].name);
        EXPECT_INT(copy->dims[i].max, want->dims[i].max);
        EXPECT_TEXT(copy->dims[i].help, want->dims[i].help);
    }
    for (size_t i = 0; i < want->n_dtypes; i++)
        EXPECT_TEXT(copy->dtypes[i].name, want->dtypes[i].name);
    for (size_t i = 0; i < want->n_options; i++) {
        EXPECT_TEXT(copy->options[i].name, want->options[i].name);
        for (size_t k = 0; k < want->options[i].n_values; k++)
            EXPECT_TEXT(copy->options[i].values[k], want->options[i].values[k]);
    }
    cr_assert_null(copy->options[1].help);
    for (size_t i = 0; i < want->n_scalars; i++) {
        EXPECT_TEXT(copy->scalars[i].name, want->scalars[i].name);
        cr_assert_eq(copy->scalars[i].default_value, want->scalars[i].default_value);
    }
    for (size_t i = 0; i < want->n_operands; i++) {
        EXPECT_TEXT(copy->operands[i].name, want->operands[i].name);
        EXPECT_INT(copy->operands[i].may_alias, want->operands[i].may_alias);
    }
    for (size_t i = 0; i < want->n_tunables; i++) {
        EXPECT_TEXT(copy->tunables[i].name, want->tunables[i].name);
        for (size_t k = 0; k < want->tunables[i].n_values; k++)
            EXPECT_INT(copy->tunables[i].values[k], want->tunables[i].values[k]);
    }
    EXPECT_TEXT(copy->constants[0].name, "SEVEN");
    EXPECT_INT(copy->constants[0].value, 7);
    cr_assert_eq(copy->geometry, want->geometry);
}

Test(spec_copy, outlives_its_original)
{
    struct tfops_spec *copy;
    struct toy *original = malloc(sizeof *original);
    char *names[2] = {strdup("toy"), strdup("first")};
    toy_init(original);
    original->spec.name = names[0];
    original->modes[0] = names[1];
    EXPECT_OK(spec_copy(&env, &original->spec, &copy));
    memset(original, 0xdd, sizeof *original);
    memset(names[0], 'x', 3);
    memset(names[1], 'x', 5);
    free(original);
    free(names[0]);
    free(names[1]);
    expect_toy(copy);
    EXPECT_OK(spec_check(copy));
    spec_free(&env, copy);
    EXPECT_INT(heap.live, 0);
}

Test(spec_copy, is_aligned_and_apart)
{
    struct tfops_spec *copy;
    EXPECT_OK(spec_copy(&env, &toy.spec, &copy));
    EXPECT_INT((uintptr_t)copy->dims % 16, 0);
    EXPECT_INT((uintptr_t)copy->tunables[0].values % 8, 0);
    cr_assert_neq(copy->dims, toy.spec.dims);
    cr_assert_neq(copy->options[0].values, toy.spec.options[0].values);
    cr_assert_neq(copy->options[0].values[1], toy.spec.options[0].values[1]);
    spec_free(&env, copy);
}

Test(spec_copy, takes_empty_tables)
{
    struct tfops_spec *copy;
    toy.spec.n_options = toy.spec.n_scalars = toy.spec.n_tunables = toy.spec.n_constants = 0;
    toy.spec.options = NULL;
    EXPECT_OK(spec_copy(&env, &toy.spec, &copy));
    EXPECT_OK(spec_check(copy));
    spec_free(&env, copy);
    EXPECT_INT(heap.live, 0);
}

Test(spec_copy, of_every_built_in_operator_is_valid)
{
    for (size_t i = 0; i < registry_count; i++) {
        struct tfops_spec *copy;
        EXPECT_OK(spec_copy(&env, registry_specs[i], &copy));
        EXPECT_OK(spec_check(copy));
        EXPECT_TEXT(copy->name, registry_specs[i]->name);
        spec_free(&env, copy);
    }
}

Test(spec_copy, reports_that_memory_ran_out)
{
    struct tfops_spec *copy = NULL;
    heap.fail_at = 1;
    EXPECT_STATUS(spec_copy(&env, &toy.spec, &copy), TFOPS_E_MEMORY);
    cr_assert_null(copy);
}
