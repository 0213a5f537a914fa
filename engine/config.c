/*
 * Configs as text: what command lines, caches and worker processes speak; never on the path of a
 * launch.
 */
#include "base/error.h"
#include "problem.h"
#include <stdio.h>
#include <string.h>
#include <tfops/plan.h>

size_t tfops_config_format(
    const struct tfops_spec *spec, const struct tfops_config *config, char *ret_text, size_t bytes)
{
    size_t length = 0;
    if (bytes)
        ret_text[0] = '\0';
    if (!spec || !config)
        return 0;
    if (config->generic)
        return (size_t)snprintf(ret_text, bytes, "generic");
    for (size_t i = 0; i < spec->n_tunables; i++) {
        size_t left = length < bytes ? bytes - length : 0;
        length += (size_t)snprintf(left ? ret_text + length : NULL, left, "%s%s=%lld", i ? " " : "",
            spec->tunables[i].name, (long long)config->values[i]);
    }
    return length;
}

static enum tfops_status unknown_tunable(const struct tfops_spec *spec, const char *name)
{
    char known[256];
    size_t length = 0;
    known[0] = '\0';
    for (size_t i = 0; i < spec->n_tunables && length < sizeof known; i++)
        length += (size_t)snprintf(
            known + length, sizeof known - length, "%s%s", i ? " " : "", spec->tunables[i].name);
    return error_setf(TFOPS_E_UNKNOWN, 0, "config", name, "%s has no such tunable; it has: %s",
        spec->name, known);
}

static enum tfops_status bad_tunable(const struct tfops_tunable_spec *tunable, const char *value)
{
    char expected[160];
    size_t length = (size_t)snprintf(expected, sizeof expected, "one of");
    for (size_t k = 0; k < tunable->n_values && length < sizeof expected; k++)
        length += (size_t)snprintf(
            expected + length, sizeof expected - length, " %lld", (long long)tunable->values[k]);
    return error_set(TFOPS_E_RANGE, "config", tunable->name, expected, value);
}

static enum tfops_status set_tunable(
    const struct tfops_spec *spec, const char *name, const char *value, struct tfops_config *config)
{
    for (size_t i = 0; i < spec->n_tunables; i++) {
        const struct tfops_tunable_spec *tunable = &spec->tunables[i];
        int64_t number = 0;
        if (strcmp(name, tunable->name))
            continue;
        bool known = false;
        if (problem_parse_int(value, &number))
            for (size_t k = 0; k < tunable->n_values; k++)
                known |= tunable->values[k] == number;
        if (!known)
            return bad_tunable(tunable, value);
        config->values[i] = number;
        return TFOPS_OK;
    }
    return unknown_tunable(spec, name);
}

enum tfops_status tfops_config_parse(
    const struct tfops_spec *spec, const char *text, struct tfops_config *config)
{
    if (!spec || !text || !config)
        return error_set(TFOPS_E_ARGUMENT, "config",
            !spec   ? "spec"
            : !text ? "text"
                    : "config",
            "not NULL", "NULL");
    struct tfops_config parsed = *config;
    if (!strcmp(text, "generic")) {
        config->generic = true;
        return TFOPS_OK;
    }
    char copy[1024], *save = NULL;
    if (strlen(text) >= sizeof copy)
        return error_set(TFOPS_E_RANGE, "config", "text", "at most 1023 bytes", "more");
    memcpy(copy, text, strlen(text) + 1);
    for (char *pair = strtok_r(copy, " ,", &save); pair; pair = strtok_r(NULL, " ,", &save)) {
        char *value = strchr(pair, '=');
        if (!value || value == pair)
            return error_set(TFOPS_E_ARGUMENT, "config", pair, "TUNABLE=VALUE", pair);
        *value++ = '\0';
        enum tfops_status status = set_tunable(spec, pair, value, &parsed);
        if (status)
            return status;
    }
    parsed.generic = false;
    *config = parsed;
    return TFOPS_OK;
}
