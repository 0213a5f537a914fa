/*
 * Status codes, the per-thread error record and the log callback.
 *
 * Every call of the library that can fail returns a tfops_status. The record of the last failure
 * on the calling thread says what failed, on which thing, and what was expected; a successful call
 * leaves it alone. The library never prints, exits or aborts.
 */
#ifndef TFOPS_STATUS_H
#define TFOPS_STATUS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum tfops_status {
    TFOPS_OK = 0,
    TFOPS_E_ARGUMENT,    /* NULL, bad struct size, unknown non-zero tail, unknown flag            */
    TFOPS_E_SHAPE,       /* an extent or stride does not fit the operator's shape rule            */
    TFOPS_E_DTYPE,       /* a dtype the operator does not take, or one that does not match        */
    TFOPS_E_ALIGNMENT,   /* an address is not a multiple of its element size                      */
    TFOPS_E_OVERLAP,     /* operands overlap where the operator does not allow it                 */
    TFOPS_E_RANGE,       /* a value is out of its range, negative, or its product overflows       */
    TFOPS_E_UNKNOWN,     /* no operator, dimension, option, tunable or file of that name          */
    TFOPS_E_UNSUPPORTED, /* the operator has no template for this architecture; message says why  */
    TFOPS_E_MEMORY,      /* the allocator returned NULL, on the host or on the device             */
    TFOPS_E_DRIVER,      /* libcuda is absent, too old, or one of its calls failed                */
    TFOPS_E_NVRTC,       /* NVRTC is absent or unusable                                           */
    TFOPS_E_COMPILE,     /* a template did not compile, or its build log disqualifies it          */
    TFOPS_E_COLD,        /* nothing is loaded for this key and policy or capture forbids loading  */
    TFOPS_E_CONTEXT,     /* the stream belongs to another CUDA context                            */
    TFOPS_E_FORKED,      /* called in a child of fork()                                           */
    TFOPS_E_CACHE,       /* a cache file is malformed, newer, foreign or not trusted              */
    TFOPS_E_IO,          /* a file or pipe operation failed                                       */
    TFOPS_E_BUSY,        /* another process or thread holds what is needed (e.g. tunes this GPU)  */
    TFOPS_E_TIMEOUT,     /* a bounded wait ended                                                  */
    TFOPS_E_WORKER,      /* a worker process could not be started or died                         */
    TFOPS_E_WRONG,       /* a result differs from its reference by more than the tolerance        */
    TFOPS_E_CANCELLED,   /* the caller's cancel flag was seen                                     */
    TFOPS_E_ABI,         /* a spec or binary of another ABI                                       */
    TFOPS_E_INTERNAL,    /* a bug in tfops                                                        */
    TFOPS_STATUS_COUNT
};

/* The constant's short name, e.g. "TFOPS_E_SHAPE"; never NULL. */
const char *tfops_status_name(enum tfops_status status);

/* One sentence for people; never NULL. */
const char *tfops_status_text(enum tfops_status status);

/*
 * The record of a failure. Caller-owned: set `size`, pass it to tfops_error_last(). All strings are
 * inline and terminated; empty where there is nothing to say.
 */
struct tfops_error {
    size_t size;
    enum tfops_status status;
    int32_t native;     /* CUresult, nvrtcResult, SQLite or errno value behind it; 0 when none   */
    char where[64];     /* function or stage that failed, e.g. "request", "cuModuleLoadData"     */
    char subject[128];  /* the thing: a tensor, dimension, option, config, file                  */
    char expected[192]; /* what would have been right                                            */
    char actual[192];   /* what was there                                                        */
    char message[768];  /* the whole, one line, ready to print                                   */
};

/*
 * Copies the calling thread's last failure into *ret_error (as much as its size covers).
 * TFOPS_E_ARGUMENT when ret_error is NULL or its size is smaller than the first three fields.
 */
enum tfops_status tfops_error_last(struct tfops_error *ret_error);

enum tfops_log_level { TFOPS_LOG_ERROR = 0, TFOPS_LOG_WARN, TFOPS_LOG_INFO, TFOPS_LOG_DEBUG };

/*
 * Receives one line without newline. May be called from any thread that is inside a tfops call, never
 * from a launch that hits. Must not call tfops. `user` is the pointer given with the callback.
 */
typedef void (*tfops_log_fn)(void *user, enum tfops_log_level level, const char *line);

#ifdef __cplusplus
}
#endif
#endif
