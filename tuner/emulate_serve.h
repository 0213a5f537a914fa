/* The worker's part of an emulated check: runs a variant that was built for the host. */
#ifndef TFOPS_TUNER_EMULATE_SERVE_H
#define TFOPS_TUNER_EMULATE_SERVE_H

#include "emu_launch.h"
#include "messages.h"

struct emulate_outcome {
    struct emulated_message message; /* its text points into this */
    char text[EMU_TEXT_BYTES + 128];
};

/* The message's problem has its spec. What the machine or the comparison finds is in the outcome,
 * the status says whether it could be run. */
enum tfops_status emulate_serve(const struct env *env, const struct emulate_message *message,
    struct emulate_outcome *ret_outcome);

#endif
