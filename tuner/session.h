/*
 * A measuring session: one problem on one GPU with its buffers. Candidates are loaded, verified and
 * timed here. Runs inside tfops-worker for unverified candidates, and in the host process for the
 * benchmark of trusted binaries. Owns device memory, streams and modules; one thread at a time.
 *
 * A failed driver call leaves the session unusable when driver_is_fault(); the process that holds
 * it is then thrown away.
 */
#ifndef TFOPS_TUNER_SESSION_H
#define TFOPS_TUNER_SESSION_H

#include "base/env.h"
#include "cache/binary_store.h"
#include "driver.h"
#include "nvml.h"
#include "stats.h"
#include <tfops/spec.h>

struct session;

struct session_options {
    const struct driver *driver;
    const struct nvml *nvml; /* NULL: clocks unknown */
    int ordinal;
    const struct tfops_problem *problem; /* with the extent to measure */
    /* The device reference's binary (generic variant); NULL: nothing can be verified. */
    const struct binary *reference;
    const struct binary *fill, *compare, *copy; /* support kernels; copy NULL: no roof */
    uint64_t seed;                              /* of the inputs; 0: from the clock and process */
    uint32_t place;   /* buffers of another place lie elsewhere; 0: where the driver puts them */
    bool l2_warm;     /* do not rotate the inputs */
    bool one_output;  /* do not rotate the outputs */
    const char *peer; /* timed beside the copies (peer.h); NULL: none */
};

/*
 * Loads the support kernels and checks the device reference against the CPU reference on a reduced
 * problem (TFOPS_E_WRONG). Memory of the full extent is taken when verification and timing first
 * need it: red-zoned operands with the reference's results, inputs rotated past 3× L2; together at
 * most 45% of what is free. The options' objects are borrowed until session_close(), but for the
 * problem, which is copied, and the binaries, which are loaded.
 */
enum tfops_status session_open(
    const struct env *env, const struct session_options *options, struct session **ret_session);
void session_close(struct session *session);

/* Loads a binary as a candidate; *ret_id counts from 0. */
enum tfops_status session_add(struct session *session, const struct tfops_config *config,
    const struct binary *binary, uint32_t *ret_id);
void session_drop(struct session *session, uint32_t id);
/* Blocks per SM. */
uint32_t session_occupancy(const struct session *session, uint32_t id);

struct verify_report {
    double relative; /* ‖out − ref‖ / ‖ref‖, the worst of the checks; NaN: not finite */
    char first_wrong[192]; /* "out[3][17]: expected 0.5, got 0.25 (rows=37)"; "" when right */
};
/*
 * Runs the candidate on reduced extents (1, a tail, several tiles, more than one wave) and on the
 * full one, outputs poisoned, red zones around every buffer, fresh inputs and special values, in
 * place where the operator allows it. TFOPS_E_WRONG when any check fails.
 */
enum tfops_status session_verify(
    struct session *session, uint32_t id, struct verify_report *ret_report);

struct measure_options {
    double interval; /* relative half width of the 95% interval of the median aimed at; 0: 0.01 */
    uint32_t min_samples, max_samples; /* graph replays per candidate; 0: 8 and 60 */
    bool race;                         /* drop candidates that cannot win any more */
    bool steady;          /* long replays behind an untimed one: a steady stream, for results */
    double give_up_ratio; /* > 1: stop a candidate slower than this times the best so far */
    double budget_s;      /* > 0: stop after this, with the samples there are */
};
/*
 * Times candidates interleaved with a rotating start: events around a CUDA graph of repeats over
 * rotated inputs. ret_results[i] belongs to ids[i] and is overwritten; a sample is nanoseconds per
 * launch. Without racing the k-th samples of all candidates are of one round (stats_ratio). A
 * candidate that verification showed to be beyond give_up_ratio gets that one sample.
 * ret_clocks: of the last round, may be NULL.
 */
enum tfops_status session_measure(struct session *session, const uint32_t *ids, uint32_t n,
    const struct measure_options *options, struct sample_set *ret_results,
    struct nvml_sample *ret_clocks);

/*
 * The same with the copy roof: the copy kernel (its grid chosen once) in every round, and
 * cuMemcpyDtoDAsync behind them, each moving the bytes the operator must read and write. Nanoseconds
 * per copy. Ends the session's fair times: what is measured after a memcpy is slower.
 */
enum tfops_status session_measure_beside_copy(struct session *session, const uint32_t *ids,
    uint32_t n, const struct measure_options *options, struct sample_set *ret_results,
    struct sample_set *ret_copy_kernel, struct sample_set *ret_memcpy,
    struct nvml_sample *ret_clocks);

/* What session_measure_beside_copy() saw of the session's peer, if it has one: of its fastest kernel,
 * of how many. The session keeps the samples. */
const struct sample_set *session_peer_samples(const struct session *session, uint32_t *ret_kernels);

/* The copy roof interleaved with `id`. */
enum tfops_status session_roof(struct session *session, uint32_t id,
    const struct measure_options *options, struct sample_set *ret_candidate,
    struct sample_set *ret_copy_kernel, struct sample_set *ret_memcpy);

#endif
