/* An operator's description: dimensions, dtypes, options, operands, tunables, architectures. */
#ifndef TFOPS_TOOLS_CLI_OPERATOR_H
#define TFOPS_TOOLS_CLI_OPERATOR_H

#include "cli_json.h"
#include <stdbool.h>
#include <tfops/spec.h>

/* Whether there is a template for `arch`; the reason is "" when there is. */
bool cli_operator_supports(
    const struct tfops_spec *spec, const char *arch, char ret_reason[TFOPS_REASON_BYTES]);
/* `tables`: options, operands and tunables too. */
void cli_operator_print(const struct tfops_spec *spec, bool tables);
void cli_operator_json(json *array, const struct tfops_spec *spec);

#endif
