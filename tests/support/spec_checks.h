/* What every spec of the built-in operators must hold, for unit tests. Include criterion first. */
#ifndef TFOPS_TESTS_SPEC_CHECKS_H
#define TFOPS_TESTS_SPEC_CHECKS_H

#include "device.h"
#include "expect.h"
#include <string.h>
#include <tfops/plan.h>

static inline struct tfops_device spec_device(size_t arch)
{
    struct tfops_device device;
    EXPECT_OK(device_nominal(tfops_arch_name(arch), &device));
    return device;
}

static inline bool spec_fits(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct tfops_config *config, char *reason)
{
    return problem->spec->constraint(problem->spec->user, problem, device, config, reason);
}

static inline bool spec_in_tables(const struct tfops_spec *spec, const struct tfops_config *config)
{
    for (size_t i = 0; i < spec->n_tunables; i++) {
        bool found = false;
        for (size_t k = 0; k < spec->tunables[i].n_values; k++)
            found |= spec->tunables[i].values[k] == config->values[i];
        if (!found)
            return false;
    }
    return true;
}

static inline void spec_check_default(
    const struct tfops_problem *problem, const struct tfops_device *device)
{
    char reason[TFOPS_REASON_BYTES] = "", text[512];
    struct tfops_config config;
    problem->spec->default_config(problem->spec->user, problem, device, &config);
    const bool right = !config.generic && spec_in_tables(problem->spec, &config) &&
                       spec_fits(problem, device, &config, reason);
    if (!right) {
        tfops_config_format(problem->spec, &config, text, sizeof text);
        char name[512];
        tfops_problem_format(problem, name, sizeof name);
        cr_assert_fail("%s on %s: default %s: %s", name, device->arch, text,
            reason[0] ? reason : "a value that is not in its table");
    }
}

/* Packs over two different patterns: a byte that is in both what it was is not filled. */
static inline void spec_pack_twice(
    const struct tfops_launch_args *launch, void *ret_params, size_t bytes)
{
    const struct tfops_spec *spec = launch->problem->spec;
    unsigned char one[TFOPS_MAX_PARAM_BYTES], two[TFOPS_MAX_PARAM_BYTES];
    memset(one, 0x00, sizeof one);
    memset(two, 0xff, sizeof two);
    EXPECT_INT(spec->param_bytes, bytes);
    spec->pack(spec->user, launch, one);
    spec->pack(spec->user, launch, two);
    for (size_t i = 0; i < bytes; i++)
        cr_assert_eq(one[i], two[i], "byte %zu of the parameters is not filled", i);
    memcpy(ret_params, one, bytes);
}

#endif
