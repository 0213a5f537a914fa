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
 * "batch_invariant". TFOPS_E_UNKNOWN names the property and lists what there is; TFOPS_E_RANGE.
 */
enum tfops_status tfops_problem_set(
    struct tfops_problem *problem, const char *name, const char *value);

/* Checks ranges and the spec's own rule; fills `align` from contiguous operands when it is 0. */
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

/* The problem that arguments describe, validated: what a launch by look-up would use. */
enum tfops_status tfops_problem_from_args(const struct tfops_spec *spec,
    const struct tfops_args *args, struct tfops_problem *ret_problem);

/*
 * Resolves a problem: records → binary (compiling it where it is missing, unless the policy is
 * strict) → loaded module. May block for a compile; not for use while a stream is capturing.
 * The caller owns one reference.
 */
enum tfops_status tfops_prepare(
    struct tfops_engine *engine, const struct tfops_problem *problem, struct tfops_plan **ret_plan);

struct tfops_plan *tfops_plan_retain(struct tfops_plan *plan);
void tfops_plan_release(struct tfops_plan *plan); /* NULL is fine */

/* Workspace bytes a launch with this dynamic extent needs. */
size_t tfops_plan_workspace(const struct tfops_plan *plan, int64_t extent);

/* What a launch with this extent runs. Strings live as long as the plan. */
struct tfops_plan_info {
    size_t size;
    const char *source; /* "record", "nearest", "default", "generic", "reference" */
    const char *config; /* "THREADS=256 …" */
    int64_t extent;     /* measured extent of the record behind it, 0 when none */
    uint32_t registers, smem_bytes, threads, grid[3], cluster;
    uint8_t binary_sha256[32];
    /* The record on the other side of the extent, 0 when none; by how much the config here was slower
     * than that record's there, and that record's than this one's here (0.02: 2%; below 0: not
     * measured). Where these say nothing the nearer record is taken. */
    int64_t beside;
    double regret_there, regret_here;
};
enum tfops_status tfops_plan_describe(
    const struct tfops_plan *plan, int64_t extent, struct tfops_plan_info *ret_info);

/*
 * Launches on `stream`. The arguments must describe the plan's problem (any dynamic extent); the
 * first operand or property that does not is named in the error record.
 * On the cpu device the call computes before it returns and `stream` must be NULL.
 */
enum tfops_status tfops_plan_launch(
    const struct tfops_plan *plan, const struct tfops_args *args, struct CUstream_st *stream);

/* Look-up by the arguments, then tfops_plan_launch(). `spec` from tfops_engine_operator(). */
enum tfops_status tfops_launch(struct tfops_engine *engine, const struct tfops_spec *spec,
    const struct tfops_args *args, struct CUstream_st *stream);

#ifdef __cplusplus
}
#endif
#endif
