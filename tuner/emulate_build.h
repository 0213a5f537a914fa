/*
 * Variants built for the host: rendered sources in, a shared object with the emulator out. First
 * stage of an emulated check. Runs the C++ compiler; loads and runs nothing.
 */
#ifndef TFOPS_TUNER_EMULATE_BUILD_H
#define TFOPS_TUNER_EMULATE_BUILD_H

#include "render.h"

enum emulate_mode {
    EMULATE_TRACE = 0, /* every access is watched: races, bounds, what was never written */
    EMULATE_CHECK,     /* the same with UBSan */
    EMULATE_ASAN,      /* AddressSanitizer and UBSan; only in a program that is linked with it */
    EMULATE_TSAN,      /* ThreadSanitizer; likewise */
    EMULATE_MODES
};

struct emulate_builder {
    const struct env *env;
    const char *compiler; /* NULL: $CXX, else g++ */
    const char *dir;      /* exists; everything is written there */
    enum emulate_mode mode;
    const volatile int *cancel; /* non-zero: the compiler is ended, TFOPS_E_CANCELLED; NULL: none */
};

/* A stand-in for sm_<cc> that the jobs were rendered for. */
struct emulate_batch {
    const struct build_job *jobs; /* of one template */
    size_t n;
    int cc; /* 90: as for sm_90a */
    const char *name;
};

enum { EMULATE_PATH_BYTES = 1024 };

/* Writes the emulator's sources and compiles them, unless a user's kept object (emulate_keep.h) is of the same
 * sources, compiler and mode: once for a folder and mode. TFOPS_E_UNSUPPORTED when there is no compiler,
 * TFOPS_E_COMPILE with the first error, TFOPS_E_IO. */
enum tfops_status emulate_build_runtime(const struct emulate_builder *builder);

/* `dir`/`name`.so; variant i is the i-th job. The runtime must be there. */
enum tfops_status emulate_build(const struct emulate_builder *builder,
    const struct emulate_batch *batch, char ret_path[EMULATE_PATH_BYTES]);

/* Runs a line of the shell; its exit status, −1 when there is none. */
int emulate_shell(const char *command);

#endif
