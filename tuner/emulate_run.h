/*
 * Runs a variant that was built for the host, on the operands of a case. Last stage of an emulated
 * check: unverified code runs here, in the calling process; it belongs into one that may die.
 */
#ifndef TFOPS_TUNER_EMULATE_RUN_H
#define TFOPS_TUNER_EMULATE_RUN_H

#include "emu_launch.h"
#include "emulate_case.h"

struct emulate_library {
    void *handle;
    emu_launch_fn *launch;
};

/* TFOPS_E_IO with the loader's message. */
enum tfops_status emulate_open(const char *path, struct emulate_library *ret_library);
void emulate_close(struct emulate_library *library);

/* How threads take turns. */
struct emulate_schedule {
    enum emu_order order;
    uint64_t seed;
    bool late_copies;
};

/* Variant `index` of the library, rendered for the problem, device and config. The case's live
 * operands are reset before. *ret_report says what the machine found; results are not judged. */
enum tfops_status emulate_run(const struct emulate_library *library, size_t index,
    const struct tfops_device *device, const struct tfops_config *config,
    struct emulate_case *ecase, const struct emulate_schedule *schedule,
    struct emu_report *ret_report);

#endif
