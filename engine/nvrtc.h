/*
 * NVRTC as a table of functions, opened at run time. One program at a time per process is fast;
 * parallel compilation is done by worker processes.
 */
#ifndef TFOPS_ENGINE_NVRTC_H
#define TFOPS_ENGINE_NVRTC_H

#include <stddef.h>
#include <tfops/status.h>

struct _nvrtcProgram;

struct nvrtc {
    void *library;
    char path[256];
    int version; /* 13000 */
    int (*create)(struct _nvrtcProgram **program, const char *source, const char *name, int n,
        const char *const *headers, const char *const *names);
    int (*destroy)(struct _nvrtcProgram **program);
    int (*compile)(struct _nvrtcProgram *program, int n, const char *const *options);
    int (*get_cubin_size)(struct _nvrtcProgram *program, size_t *bytes);
    int (*get_cubin)(struct _nvrtcProgram *program, char *image);
    int (*get_ptx_size)(struct _nvrtcProgram *program, size_t *bytes);
    int (*get_ptx)(struct _nvrtcProgram *program, char *ptx);
    int (*get_log_size)(struct _nvrtcProgram *program, size_t *bytes);
    int (*get_log)(struct _nvrtcProgram *program, char *log);
    const char *(*get_error_string)(int result);
};

/*
 * Opens NVRTC: `path`, else $TFOPS_LIBNVRTC, else a libnvrtc that the process has loaded, else
 * libnvrtc.so.N with the greatest N, else the toolkit's, else the one the build found. None beyond
 * max_major (0: any), wherever it stands. TFOPS_E_NVRTC when there is none: the record says what was
 * wrong with the last.
 */
enum tfops_status nvrtc_open(const char *path, int max_major, struct nvrtc *ret_nvrtc);
void nvrtc_close(struct nvrtc *nvrtc);

#endif
