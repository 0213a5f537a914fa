/*
 * Problems, plans and launches.
 *
 * A plan is a resolved launch for one problem and any extent of its dynamic dimension: it holds the
 * loaded kernels and picks among them by the extent. It is immutable, reference-counted and may be
 * launched from any thread.
 *
 * A launch allocates nothing, takes no lock and touches no file; it checks its arguments, fills the
 * kernel's parameters and enqueues one kernel. An extent of 0 is a successful no-op.
 */
#ifndef TFOPS_PLAN_H
#define TFOPS_PLAN_H

#include <stddef.h>
#include <stdint.h>
#include <tfops/engine.h>
#include <tfops/spec.h>
#include <tfops/status.h>
#include <tfops/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* CUstream and cudaStream_t are pointers to it; NULL: the legacy default stream. */
struct CUstream_st;
struct tfops_plan;

/* ---- problems ------------------------------------------------------------------------------- */

/*
 * Starts a problem of an operator: dtype f16, default options, required operands, extents 0, and
 * alignment 0, which tfops_problem_check() fills.
 */
enum tfops_status tfops_problem_init(
    const struct tfops_spec *spec, struct tfops_problem *ret_problem);

/*
 * Sets one property by name: a dimension ("hidden", "4096"), a dtype parameter ("dtype", "bf16"), an
 * option ("weight_variant", "one_plus"), an optional operand ("residual_out", "1"), "align",
 * "batch_invariant". TFOPS_E_UNKNOWN names the property and lists what there is; TFOPS_E_DTYPE;
 * TFOPS_E_RANGE; TFOPS_E_ARGUMENT.
 */
enum tfops_status tfops_problem_set(
    struct tfops_problem *problem, const char *name, const char *value);

/* Checks ranges and the spec's own rule; fills `align` from contiguous operands when it is 0.
 * TFOPS_E_RANGE, TFOPS_E_DTYPE, TFOPS_E_SHAPE (the spec's rule), TFOPS_E_ARGUMENT. */
enum tfops_status tfops_problem_check(struct tfops_problem *problem);

/* "rmsnorm rows=16 hidden=4096 dtype=f16 …", terminated, cut at `bytes`; returns the full length. */
size_t tfops_problem_format(const struct tfops_problem *problem, char *ret_text, size_t bytes);

/* ---- launches ------------------------------------------------------------------------------- */

/*
 * Arguments of one launch. `operands[i]` is the spec's i-th operand, NULL for an absent optional one;
 * what stands beyond the operator's operands is not looked at.
 * Scalars beyond n_scalars take the spec's default. Options are indices of values, 0 the default.
 */
struct tfops_args {
    size_t size;
    uint32_t n_scalars;
    uint32_t flags; /* TFOPS_BATCH_INVARIANT */
    uint8_t options[TFOPS_MAX_OPTIONS];
    void *workspace; /* tfops_plan_workspace() bytes, 256-byte aligned, one stream at a time */
    size_t workspace_bytes;
    const struct tfops_tensor *operands[TFOPS_MAX_OPERANDS];
    double scalars[TFOPS_MAX_SCALARS];
};

/* The problem that arguments describe, validated: what a launch by look-up would use. Errors as of a
 * launch's arguments. */
enum tfops_status tfops_problem_from_args(const struct tfops_spec *spec,
    const struct tfops_args *args, struct tfops_problem *ret_problem);

/*
 * Resolves a problem: records → binary (compiling it where it is missing, unless the policy is
 * strict) → loaded module. May block for a compile; not for use while a stream is capturing.
 * The caller owns one reference.
 *
 * TFOPS_E_ARGUMENT; TFOPS_E_UNKNOWN for a spec of another engine; what tfops_problem_check() says;
 * TFOPS_E_UNSUPPORTED: there is no template for this architecture; TFOPS_E_MEMORY; TFOPS_E_FORKED.
 * A binary that cannot be had is no error where the operator has a generic variant, which then
 * serves the problem, with a line in the log. Where it has none, and under the strict policy:
 * TFOPS_E_COLD (not in any cache, and the policy is strict), TFOPS_E_NVRTC, TFOPS_E_COMPILE,
 * TFOPS_E_DRIVER.
 */
enum tfops_status tfops_prepare(
    struct tfops_engine *engine, const struct tfops_problem *problem, struct tfops_plan **ret_plan);

struct tfops_plan *tfops_plan_retain(struct tfops_plan *plan);
void tfops_plan_release(struct tfops_plan *plan); /* NULL is fine */

/* Workspace bytes a launch with this dynamic extent needs. */
size_t tfops_plan_workspace(const struct tfops_plan *plan, int64_t extent);

/* What a launch with this extent, 1 or more, runs. Strings live as long as the plan. */
struct tfops_plan_info {
    size_t size;
    const char *source; /* "record", "nearest", "default", "generic", "reference" */
    const char *config; /* "VEC_BYTES=16 THREADS_PER_ROW=256 …" */
    int64_t extent;     /* measured extent of the record behind it, 0 when none */
    uint32_t registers, smem_bytes, threads, grid[3], cluster;
    uint8_t binary_sha256[32];
    /* The record on the other side of the extent, 0 when none; by how much the config here was slower
     * than that record's there, and that record's than this one's here (0.02: 2%; below 0: not
     * measured). Where these say nothing the nearer record is taken. */
    int64_t beside;
    double regret_there, regret_here;
};
/* TFOPS_E_ARGUMENT, TFOPS_E_FORKED. */
enum tfops_status tfops_plan_describe(
    const struct tfops_plan *plan, int64_t extent, struct tfops_plan_info *ret_info);

/*
 * Launches on `stream`. The arguments must describe the plan's problem (any dynamic extent); the
 * first operand or property that does not is named in the error record.
 * On the cpu device the call computes before it returns and `stream` must be NULL.
 *
 * Of the arguments, each with a record that names the operand, what was expected and what came:
 * TFOPS_E_ARGUMENT (a tensor that is missing or has no data, a property that is not the plan's, a
 * workspace that is too small or not aligned, args.size, args.flags, args.n_scalars), TFOPS_E_SHAPE,
 * TFOPS_E_DTYPE, TFOPS_E_ALIGNMENT, TFOPS_E_OVERLAP, TFOPS_E_RANGE (an extent, an option, a scalar).
 * TFOPS_E_CONTEXT: the stream is of another CUDA
 * context, or there is one on the cpu device. TFOPS_E_DRIVER: the driver refused the launch, or the
 * engine only compiles; TFOPS_E_MEMORY: it had no memory for it. TFOPS_E_FORKED.
 */
enum tfops_status tfops_plan_launch(
    const struct tfops_plan *plan, const struct tfops_args *args, struct CUstream_st *stream);

/*
 * Look-up by the arguments, then tfops_plan_launch(). `spec` from tfops_engine_operator(). The first
 * launch of a plan looks whether the device can read the addresses.
 *
 * Errors as of tfops_plan_launch(); TFOPS_E_ARGUMENT also for an address that the device cannot read.
 * A key that nothing was prepared for: TFOPS_E_COLD (the strict policy, a capture that forbids to
 * load, or no generic variant to launch), TFOPS_E_UNKNOWN for a spec of another engine,
 * TFOPS_E_UNSUPPORTED, TFOPS_E_MEMORY, and under TFOPS_MISS_COMPILE all of tfops_prepare().
 */
enum tfops_status tfops_launch(struct tfops_engine *engine, const struct tfops_spec *spec,
    const struct tfops_args *args, struct CUstream_st *stream);

#ifdef __cplusplus
}
#endif
#endif
