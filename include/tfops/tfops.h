/* tfops: fused transformer-inference kernels, compiled for each shape, tuned on the live GPU and
 * remembered. The umbrella header: includes all public ones. */
#ifndef TFOPS_TFOPS_H
#define TFOPS_TFOPS_H

#include <tfops/bench.h>
#include <tfops/cache.h>
#include <tfops/engine.h>
#include <tfops/ops.h>
#include <tfops/plan.h>
#include <tfops/spec.h>
#include <tfops/status.h>
#include <tfops/tensor.h>
#include <tfops/tuner.h>
#include <tfops/weight.h>

#define TFOPS_VERSION_MAJOR 0
#define TFOPS_VERSION_MINOR 1
#define TFOPS_VERSION_PATCH 0

#ifdef __cplusplus
extern "C" {
#endif

/* "0.1.0": the library's, which may differ from the header's. */
const char *tfops_version(void);

#ifdef __cplusplus
}
#endif
#endif
