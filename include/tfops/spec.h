/*
 * The description of an operator, ABI version 1.
 *
 * A spec says everything the engine and the tuner need to know about an operator: its operands and
 * dimensions (so that requests are validated and buffers are made without operator-specific code),
 * its tunables and constraint, how a config becomes a launch, what it costs, and what is right.
 * Built-in operators stand in kernels/registry.c; a program adds its own with
 * tfops_engine_register() or as a plug-in (a shared object that exports tfops_plugin()).
 *
 * Data flow: problem + device → default or tuned config → geometry → rendered source → binary →
 * per launch: operand views → parameter pack (+ tensor maps) → grid → launch.
 *
 * Callbacks must be pure and thread-safe: they may be called from any thread at any time.
 */
#ifndef TFOPS_SPEC_H
#define TFOPS_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tfops/status.h>
#include <tfops/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TFOPS_SPEC_ABI 1

#define TFOPS_MAX_DIMS 12     /* dimensions of an operator */
#define TFOPS_MAX_STATIC 6    /* of these, compiled in */
#define TFOPS_MAX_DTYPES 4    /* dtype parameters */
#define TFOPS_MAX_OPTIONS 6   /* compiled-in choices */
#define TFOPS_MAX_SCALARS 8   /* run-time numbers */
#define TFOPS_MAX_OPERANDS 16 /* tensors */
#define TFOPS_MAX_OPERAND_RANK 4
#define TFOPS_MAX_TUNABLES 24
#define TFOPS_MAX_CONSTANTS 16
#define TFOPS_MAX_TENSOR_MAPS 8
#define TFOPS_MAX_PARAM_BYTES 4096

/* ---- what is asked -------------------------------------------------------------------------- */

/*
 * A problem: an operator with everything that a kernel is specialised for, and the dynamic extent.
 * Indices are positions in the spec's tables. Make one with tfops_problem_init() and
 * tfops_problem_set(); the engine checks it again.
 */
struct tfops_problem {
    size_t size;
    const struct tfops_spec *spec;
    int64_t dims[TFOPS_MAX_DIMS];
    uint8_t dtypes[TFOPS_MAX_DTYPES];   /* enum tfops_dtype */
    uint8_t options[TFOPS_MAX_OPTIONS]; /* index of the chosen value */
    uint32_t present;                   /* bit i: operand i is given (required ones always are) */
    uint32_t flags;                     /* TFOPS_BATCH_INVARIANT */
    /* Bytes that every base and stride is a multiple of: 16, 8, 4, 2 or 1; 0 until checked. */
    uint32_t align;
};

#define TFOPS_BATCH_INVARIANT 1u /* the reduction order must not depend on the dynamic dimension */

/* A device as specs see it: real, or nominal for an architecture when compiling without a GPU. */
struct tfops_device {
    size_t size;
    char name[96];
    char arch[16]; /* "sm_90a"; "cpu" for the cpu device */
    int32_t cc;    /* 90 */
    int32_t sms;
    int32_t max_threads_per_sm;
    int32_t max_blocks_per_sm;
    int32_t regs_per_sm;
    int32_t max_cluster;          /* 1: no clusters */
    int64_t smem_per_block_bytes; /* opt-in limit */
    int64_t smem_per_sm_bytes;
    int64_t l2_bytes;
    int64_t memory_bytes;
    char mig[64]; /* MIG profile, empty when none */
    bool nominal; /* true: values of the architecture's best-known part, no GPU behind it */
};

/* One value per tunable of the spec. */
struct tfops_config {
    bool generic; /* true: the run-time-dimension variant; values are unused */
    int64_t values[TFOPS_MAX_TUNABLES];
};

/* What a config means for the launch. threads, min_blocks, cluster and smem are compiled in. */
struct tfops_geometry {
    uint32_t threads;    /* per block */
    uint32_t min_blocks; /* second argument of __launch_bounds__ */
    uint32_t cluster;    /* blocks per cluster along x; 1: none */
    uint32_t smem_bytes; /* dynamic shared memory */
    bool pdl;            /* programmatic dependent launch */
    bool cooperative;    /* blocks wait for each other: all are resident, or the launch fails */
    uint32_t grid[3];    /* for the problem's dynamic extent */
    /* How the grid follows from the extent, so that launches need not ask: extent divided by
     * extent_per_group, rounded up, at most most_groups, groups of blocks_per_group blocks along x
     * (0: of `cluster`). All 0: geometry() is called for every launch. */
    uint32_t extent_per_group, most_groups, blocks_per_group;
};

/* An operand after validation: address and one stride per spec dimension, in elements. */
struct tfops_view {
    void *data; /* NULL: absent */
    int64_t strides[TFOPS_MAX_OPERAND_RANK];
};

/* What a launch hands to pack, tensor_maps and reference. */
struct tfops_launch_args {
    const struct tfops_problem *problem; /* dims hold this launch's dynamic extent */
    const struct tfops_config *config;
    const struct tfops_view *operands; /* by operand index */
    const double *scalars;             /* by scalar index */
    void *workspace;
    size_t workspace_bytes;
};

/* A tiled tensor map (TMA descriptor), which the engine has ready before each launch. */
struct tfops_tensor_map {
    int32_t operand;       /* whose address */
    uint32_t param_offset; /* where its 128 bytes stand in the parameter pack; 64-byte aligned */
    uint32_t rank;         /* 1 … 5 */
    uint32_t data_type;    /* CUtensorMapDataType */
    uint32_t swizzle, interleave, l2_promotion, oob_fill; /* CUtensorMap… values */
    uint64_t dims[5];                                     /* innermost first */
    uint64_t strides_bytes[4];                            /* of dims 1 … */
    uint32_t box[5], element_strides[5];
};

/* Least bytes that must cross the memory bus and operations that must be done. */
struct tfops_cost {
    uint64_t bytes_read, bytes_written, flops;
};

/* ‖out − ref‖ / ‖ref‖ at most `relative`, every element |out − ref| ≤ atol + rtol·|ref|; where no values of
 * a trial are special, atol is at most 16 times `relative` of the root mean square of ref. */
struct tfops_tolerance {
    double relative, atol, rtol;
};

/* Values for trials: normal random numbers · scale + offset. */
struct tfops_values {
    float scale, offset;
    bool special; /* now and then a zero, a subnormal or a large number, where a trial has them */
};

/* ---- the tables ----------------------------------------------------------------------------- */

/*
 * A dimension without a flag is static: compiled in. One that only optional operands have has the
 * least extent 0, and is 0 where none of them is given.
 */
#define TFOPS_DIM_DYNAMIC 1u /* a run-time argument; exactly one dimension of an operator has it */
#define TFOPS_DIM_FREE 2u    /* a run-time argument that no plan depends on: not in keys or Cfg */
#define TFOPS_DIM_DERIVED 4u /* follows from the others: derive() tells it; not in keys or Cfg */

struct tfops_dim_spec {
    const char *name; /* lower case; emitted in upper case as a constant of Cfg */
    uint32_t flags;
    int64_t min, max;
    const char *help;
};

struct tfops_dtype_spec {
    const char *name; /* the first is always "dtype"; emitted in upper case as a type of Cfg */
    uint32_t allowed; /* bit (1 << enum tfops_dtype) */
    /* A parameter other than the first defaults to the first's value, or to the lowest code where
     * that is not allowed. */
    const char *help;
};

struct tfops_option_spec {
    const char *name; /* emitted in upper case as an int constant: the index of the value */
    const char *const *values;
    size_t n_values; /* the first is the default */
    const char *help;
};

struct tfops_scalar_spec {
    const char *name;
    double default_value, min, max;
    const char *help;
};

enum tfops_access { TFOPS_IN = 0, TFOPS_OUT, TFOPS_INOUT };

#define TFOPS_OPERAND_OPTIONAL 1u /* emitted as bool constant HAS_<NAME> */
#define TFOPS_OPERAND_ROWS 2u     /* leading extents collapse into the first dimension */
#define TFOPS_OPERAND_ELEMENTS 4u /* accessed by element: does not enter the alignment class */
#define TFOPS_OPERAND_DISTINCT 8u /* of whole numbers: no two alike, but below 0 for "none" */
/* Whole numbers from 0 to below the product of the dimensions so named, e.g. rows of a table. What a
 * tuner fills the operand with; a launch does not look. */
#define TFOPS_OPERAND_INDEX(dim) (0x100u << (dim))

struct tfops_operand_spec {
    const char *name;
    enum tfops_access access;
    uint32_t flags;
    int8_t dtype; /* index of the dtype parameter */
    int8_t rank;
    int8_t dims[TFOPS_MAX_OPERAND_RANK]; /* indices of the dimensions, outermost first */
    uint32_t may_alias; /* bit i: may be exactly operand i (same address and strides) */
    const char *help;
};

/* A constant of this operator, so that one template can serve several. */
struct tfops_constant_spec {
    const char *name; /* upper case; emitted as an int constant of Cfg */
    int32_t value;
};

struct tfops_tunable_spec {
    const char *name; /* upper case: the same spelling in Cfg, --config and the cache */
    const int64_t *values;
    size_t n_values;
    const char *help;
};

#define TFOPS_REASON_BYTES 160 /* buffers for reasons; a callback writes a terminated string */

struct tfops_spec {
    size_t size;      /* sizeof(struct tfops_spec) */
    uint32_t abi;     /* TFOPS_SPEC_ABI */
    uint32_t version; /* raise when an old record's times or binary no longer hold */
    const char *name, *summary, *formula;
    void *user; /* passed to every callback */

    const struct tfops_dim_spec *dims;
    size_t n_dims;
    const struct tfops_dtype_spec *dtypes;
    size_t n_dtypes;
    const struct tfops_option_spec *options;
    size_t n_options;
    const struct tfops_scalar_spec *scalars;
    size_t n_scalars;
    const struct tfops_operand_spec *operands;
    size_t n_operands;
    const struct tfops_tunable_spec *tunables;
    size_t n_tunables;
    const struct tfops_constant_spec *constants;
    size_t n_constants;

    /* Where the template stands under the kernel root, e.g. "norm/rmsnorm.cu". `source` is its text
     * for a plug-in, NULL for built-in ones (embedded, TFOPS_KERNEL_DIR overrides). */
    const char *template_path, *source;
    const char *body;         /* function template instantiated with Cfg */
    const char *generic_body; /* the same for the generic variant; NULL: the operator has none */
    const char *params_type;  /* struct passed by value */
    size_t param_bytes;       /* its size on both sides */

    /* Whether there is a template for `arch` ("sm_80" …); false writes the reason. NULL: always. */
    bool (*supports)(void *user, const char *arch, char reason[TFOPS_REASON_BYTES]);
    /* The extent of derived dimension `dim`, from the other dimensions (0 where they are not known)
     * and the options. NULL: no dimension is derived. */
    int64_t (*derive)(void *user, const struct tfops_problem *problem, size_t dim);
    /* Whether `problem` is one the operator can do at all, beyond the tables' ranges. NULL: always. A
     * reason in the form "operand: expected …, got …" fills the error record's fields. Asked at every
     * launch of an operator with free or derived dimensions, else once for a key. */
    bool (*accepts)(
        void *user, const struct tfops_problem *problem, char reason[TFOPS_REASON_BYTES]);
    /* Whether `config` is in the space for this problem and device. */
    bool (*constraint)(void *user, const struct tfops_problem *problem,
        const struct tfops_device *device, const struct tfops_config *config,
        char reason[TFOPS_REASON_BYTES]);
    /* The config used when nothing was measured; must satisfy the constraint. */
    void (*default_config)(void *user, const struct tfops_problem *problem,
        const struct tfops_device *device, struct tfops_config *ret_config);
    /* Block, cluster and shared memory, and the grid for the problem's dynamic extent. `config` may
     * be generic. Called on every launch of a geometry that does not say how the grid follows. */
    void (*geometry)(void *user, const struct tfops_problem *problem,
        const struct tfops_device *device, const struct tfops_config *config,
        struct tfops_geometry *ret_geometry);
    /* Fills the parameter struct (param_bytes, zeroed by nobody; 16-byte aligned, 128-byte where the
     * operator has tensor maps). Called on every launch. */
    void (*pack)(void *user, const struct tfops_launch_args *launch, void *ret_params);
    /* Tensor maps of a launch, at most TFOPS_MAX_TENSOR_MAPS; returns how many. NULL: none. */
    size_t (*tensor_maps)(
        void *user, const struct tfops_launch_args *launch, struct tfops_tensor_map *ret_maps);
    /* Workspace bytes for the problem's dynamic extent. NULL: none. Monotone in it. */
    size_t (*workspace)(void *user, const struct tfops_problem *problem,
        const struct tfops_device *device, const struct tfops_config *config);
    void (*cost)(void *user, const struct tfops_problem *problem, struct tfops_cost *ret_cost);
    /* How near the output `operand` must be. */
    void (*tolerance)(void *user, const struct tfops_problem *problem, size_t operand,
        struct tfops_tolerance *ret_tolerance);
    /* The operator in plain C on host memory, fp64 accumulation. */
    enum tfops_status (*reference)(void *user, const struct tfops_launch_args *launch);
    /* A trusted kernel on the device, used to verify candidates: same template and parameters, this
     * body. NULL: the generic variant is the device reference. */
    const char *device_reference_body;
    /* What an input holds in verification and measurement. NULL: scale 1, with special values; a
     * vector without the dynamic dimension or a single element: scale 0.25, offset 1, without. */
    void (*values)(void *user, const struct tfops_problem *problem, size_t operand,
        struct tfops_values *ret_values);
    /* How long a launch should take on `device`, in nanoseconds: what ranks configs before anything is
     * compiled, and keeps a record from serving extents where the default should take much less. Configs
     * are compared with one another: the unit may be off, the order should not be. NULL: there is no model. */
    double (*predict)(void *user, const struct tfops_problem *problem,
        const struct tfops_device *device, const struct tfops_config *config);
};

/* The symbol a plug-in exports: returns its specs and their number. Static storage. */
typedef const struct tfops_spec *const *(*tfops_plugin_fn)(size_t *ret_count);
#define TFOPS_PLUGIN_SYMBOL "tfops_plugin"

#ifdef __cplusplus
}
#endif
#endif
