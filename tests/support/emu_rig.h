/*
 * A file of small kernels in tests/emu/, built for the host once and run on the emulated machine:
 * what the tests of the machine itself share. Exits when it cannot be built.
 */
#ifndef TFOPS_TESTS_EMU_RIG_H
#define TFOPS_TESTS_EMU_RIG_H

#include "tests/support/test_support.h"
#include "tuner/emu_launch.h"
#include "tuner/emulate_run.h"

struct emu_rig {
    char dir[SUPPORT_PATH_BYTES];
    const char *name; /* of the template function and of its file */
    char *text;       /* the file's */
    struct emulate_library library;
    unsigned passed, failed;
};

/* Kernels 0 … n − 1: `name`<Cfg> of tests/emu/`name`.cu, with parameters `name`_params; constants of
 * Cfg as C++ writes them: "KIND = 3, THREADS = 64". */
void emu_rig_open(struct emu_rig *rig, const char *name, const char *const *constants, size_t n);
/* Ends the program as skipped where it is built with ThreadSanitizer: the runtime's own watch over
 * accesses has that one's names, which the program's would take. */
void emu_rig_skip_under_tsan(void);
/* Prints the count of checks; what main() returns. */
int emu_rig_close(struct emu_rig *rig);

/* Fills in args->kernel and args->entry. */
void emu_rig_launch(const struct emu_rig *rig, size_t kernel, struct emu_launch_args *args,
    struct emu_report *ret_report);

/* "machine.cu:57" of the line that ends with the comment `name`; line 0 where there is none. */
void emu_rig_line(const struct emu_rig *rig, const char *name, char *text, size_t bytes);

/* Counts; says what was wanted and what came instead. */
void emu_rig_check(
    struct emu_rig *rig, bool right, const char *what, const char *wanted, const char *actual);

#endif
