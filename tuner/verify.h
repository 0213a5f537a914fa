/*
 * Verification: whether a candidate computes what the trusted device reference computes, on reduced
 * and full extents, and whether the device reference computes what the CPU reference does. Stage of
 * a session before timing.
 *
 * A case is one extent with its own memory: `gold` holds the inputs and the reference's results,
 * `live` is what candidates run on, red zones around every operand. Cases are made on first use and
 * kept; all checks of a candidate are enqueued asynchronously and read back with one copy.
 */
#ifndef TFOPS_TUNER_VERIFY_H
#define TFOPS_TUNER_VERIFY_H

#include "buffers.h"
#include "session.h"
#include "verify_case.h"

struct verify_case;
struct verify_check;
struct compare_result;

enum { VERIFY_MAX_CASES = 40, VERIFY_MAX_CHECKS = 512 };

/* Embedded in a session. */
struct verifier {
    const struct gpu *gpu;
    const struct tfops_problem *problem; /* with the full extent */
    struct verify_subject reference;
    uint64_t seed;
    size_t cap_bytes; /* of device memory for one case */
    struct verify_case *cases;
    uint32_t n_cases;
    struct verify_check *checks;
    struct compare_result *host; /* VERIFY_MAX_CHECKS */
    uint32_t n_checks;
    CUdeviceptr results, blank; /* VERIFY_MAX_CHECKS compare_results; blank: their initial value */
    CUevent start, end;         /* around the launch of the full extent */
};

/* TFOPS_E_UNSUPPORTED when an output's dtype cannot be compared. */
enum tfops_status verifier_init(struct verifier *verifier, const struct gpu *gpu,
    const struct tfops_problem *problem, const struct verify_subject *reference, uint64_t seed,
    size_t cap_bytes);
void verifier_release(struct verifier *verifier);

/* The device reference against the CPU reference on a reduced problem: TFOPS_E_WRONG. */
enum tfops_status verifier_check_reference(struct verifier *verifier);

/*
 * All checks of one candidate (see session_verify). *ret_full_ns is the time of its launch on the
 * full extent, 0 when that one was reduced to fit into memory.
 */
enum tfops_status verifier_run(struct verifier *verifier, const struct verify_subject *subject,
    struct verify_report *ret_report, double *ret_full_ns);

/* The smallest extent of the ladder 67, 259, 1027 … whose grid is more than one wave; the full one
 * when there is none below it. */
int64_t verify_wave_extent(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct verify_subject *subject, int64_t full);

/* The value of an element of a float dtype, however it is aligned; NaN for others. */
double verify_value(enum tfops_dtype dtype, const void *element);

#endif
