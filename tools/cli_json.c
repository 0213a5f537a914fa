/* JSON lines on stdout (see cli_json.h). */
#include "cli_json.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

json *cli_json_event(const char *event)
{
    json *line = json_object();
    json_add_string(line, "event", event);
    return line;
}

void cli_json_emit(json *line)
{
    char *text = json_print(line);
    json_free(line);
    if (text) {
        printf("%s\n", text);
        fflush(stdout);
    } else {
        fprintf(stderr, "out of memory: a JSON line is missing\n");
    }
    free(text);
}

void cli_json_error(const struct tfops_error *error)
{
    json *line = cli_json_event("error");
    json_add_string(line, "status", tfops_status_name(error->status));
    json_add_string(line, "message", error->message);
    json_add_string(line, "subject", error->subject);
    json_add_string(line, "expected", error->expected);
    json_add_string(line, "actual", error->actual);
    cli_json_emit(line);
}

void cli_json_measured(json *parent, const char *name, double value)
{
    json_add_number(parent, name, value > 0 ? value : NAN);
}

void cli_json_digest(json *parent, const char *name, const uint8_t sha256[32])
{
    char text[65];
    for (size_t i = 0; i < 32; i++)
        snprintf(text + 2 * i, 3, "%02x", sha256[i]);
    json_add_string(parent, name, text);
}

void cli_json_device(json *parent, const char *name, const struct tfops_device *device)
{
    json *object = json_add_object(parent, name);
    json_add_string(object, "name", device->name);
    json_add_string(object, "arch", device->arch);
    json_add_int(object, "cc", device->cc);
    json_add_int(object, "sms", device->sms);
    json_add_int(object, "max_threads_per_sm", device->max_threads_per_sm);
    json_add_int(object, "max_blocks_per_sm", device->max_blocks_per_sm);
    json_add_int(object, "regs_per_sm", device->regs_per_sm);
    json_add_int(object, "max_cluster", device->max_cluster);
    json_add_int(object, "smem_per_block_bytes", device->smem_per_block_bytes);
    json_add_int(object, "smem_per_sm_bytes", device->smem_per_sm_bytes);
    json_add_int(object, "l2_bytes", device->l2_bytes);
    json_add_int(object, "memory_bytes", device->memory_bytes);
    json_add_string(object, "mig", device->mig);
    json_add_bool(object, "nominal", device->nominal);
}
