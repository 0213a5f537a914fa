/* JSON lines on stdout. */
#ifndef TFOPS_TOOLS_CLI_JSON_H
#define TFOPS_TOOLS_CLI_JSON_H

#include "base/json.h"
#include <tfops/spec.h>
#include <tfops/status.h>

/* An object with "event". */
json *cli_json_event(const char *event);
/* Prints one line, flushes it (readers follow a running tool) and frees the object. */
void cli_json_emit(json *line);
void cli_json_error(const struct tfops_error *error);
/* A number, or null when nothing was measured (0 or NaN). */
void cli_json_measured(json *parent, const char *name, double value);
void cli_json_digest(json *parent, const char *name, const uint8_t sha256[32]);
void cli_json_device(json *parent, const char *name, const struct tfops_device *device);

#endif
