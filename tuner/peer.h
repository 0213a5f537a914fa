/*
 * Another library's kernels for a problem, to be timed beside ours in one run. The library is opened
 * at run time; nothing of it is needed to build.
 */
#ifndef TFOPS_TUNER_PEER_H
#define TFOPS_TUNER_PEER_H

#include "gpu.h"

struct peer;

/*
 * "cublaslt": linear without activation but relu, without residual; fp8_gemm likewise. TFOPS_E_UNSUPPORTED with the reason where the library is not there or has no kernel for
 * the problem. A context is current.
 */
enum tfops_status peer_open(const char *name, const struct gpu *gpu,
    const struct tfops_problem *problem, struct peer **ret_peer);
void peer_close(struct peer *peer);

/* How many kernels it offers for the problem; by its own opinion the best first. */
uint32_t peer_count(const struct peer *peer);
/* Asynchronous, on the gpu's stream; capturable. */
enum tfops_status peer_enqueue(
    struct peer *peer, uint32_t kernel, const struct tfops_view *operands);

#endif
