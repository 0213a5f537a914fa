/*
 * libbad_plugin.so: an operator whose space holds bad configs on purpose: y = x * factor. The
 * tunable KIND: 0 right · 1 drops the tail of each row · 2 faults (a store to address 16) · 3 hangs
 * · 4 does not compile · 5 spills registers · 6 writes behind its output · 7 leaves the last row
 * unwritten · 8 wants more shared memory than there is, which shows at load. Tests show that each
 * of them costs that config only: the winner is a KIND 0. Rows of 96 elements have the spilling one as
 * their default. Real on a GPU; the fake driver plays along (bad_plugin.cu).
 */
#include "bad_plugin.cu"
#include <string.h>
#include <tfops/spec.h>

_Static_assert(sizeof(struct bad_scale_params) == 48, "as in bad_plugin.cu");

__asm__(".pushsection .rodata\n"
        ".globl bad_scale_template\n"
        ".hidden bad_scale_template\n"
        "bad_scale_template: .incbin \"" __FILE__ "u\"\n"
        ".byte 0\n"
        ".popsection\n");
extern const char bad_scale_template[] __attribute__((visibility("hidden")));

enum { ROWS, HIDDEN };
static const struct tfops_dim_spec dims[] = {
    {"rows", TFOPS_DIM_DYNAMIC, 0, 1 << 30, "rows of x"},
    {"hidden", 0, 1, 65536, "elements of a row"},
};
static const struct tfops_dtype_spec dtypes[] = {{"dtype", 1u << TFOPS_F32, "of x and y"}};
static const struct tfops_scalar_spec scalars[] = {{"factor", 2, -1e6, 1e6, "factor"}};

enum { X, Y };
static const struct tfops_operand_spec operands[] = {
    {.name = "x",
        .access = TFOPS_IN,
        .flags = TFOPS_OPERAND_ROWS,
        .rank = 2,
        .dims = {ROWS, HIDDEN},
        .help = "input"},
    {.name = "y",
        .access = TFOPS_OUT,
        .flags = TFOPS_OPERAND_ROWS,
        .rank = 2,
        .dims = {ROWS, HIDDEN},
        .may_alias = 1u << X,
        .help = "output; may be x"},
};

enum { KIND, BLOCK_THREADS };
enum { KIND_SPILL = 5, KIND_SMEM = 8, SPILLS_BY_DEFAULT = 96 };
static const int64_t kinds[] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
static const int64_t block_threads[] = {128, 256, 512};
static const struct tfops_tunable_spec tunables[] = {
    {"KIND", kinds, sizeof kinds / sizeof *kinds, "0 right, else what is wrong"},
    {"BLOCK_THREADS", block_threads, sizeof block_threads / sizeof *block_threads,
        "threads of a block"},
};

static bool constraint(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config,
    char reason[TFOPS_REASON_BYTES])
{
    (void)user, (void)problem, (void)device;
    if (config->values[KIND] == 0 || config->values[BLOCK_THREADS] == 128)
        return true;
    strcpy(reason, "one bad config of each kind is enough");
    return false;
}

static void default_config(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, struct tfops_config *ret_config)
{
    const bool spills = problem->dims[HIDDEN] == SPILLS_BY_DEFAULT;
    (void)user, (void)device;
    *ret_config = (struct tfops_config){
        .values = {[KIND] = spills ? KIND_SPILL : 0, [BLOCK_THREADS] = spills ? 128 : 256}};
}

static uint32_t dynamic_smem(const struct tfops_device *device, const struct tfops_config *config)
{
    if (config->generic || config->values[KIND] != KIND_SMEM)
        return 0;
    return (uint32_t)device->smem_per_block_bytes - 8192;
}

static void geometry(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config,
    struct tfops_geometry *ret_geometry)
{
    const bool spills = !config->generic && config->values[KIND] == KIND_SPILL;
    const int64_t rows = problem->dims[ROWS], most = 65535;
    (void)user;
    *ret_geometry = (struct tfops_geometry){
        .threads = spills            ? 1024
                   : config->generic ? 256
                                     : (uint32_t)config->values[BLOCK_THREADS],
        .min_blocks = spills && device->max_threads_per_sm >= 2048 ? 2 : 1,
        .cluster = 1,
        .smem_bytes = dynamic_smem(device, config),
        .grid = {(uint32_t)(rows < most ? rows : most), 1, 1},
    };
}

static void pack(void *user, const struct tfops_launch_args *launch, void *ret_params)
{
    (void)user;
    *(struct bad_scale_params *)ret_params = (struct bad_scale_params){
        .x = launch->operands[X].data,
        .y = launch->operands[Y].data,
        .x_stride = launch->operands[X].strides[0],
        .y_stride = launch->operands[Y].strides[0],
        .rows = launch->problem->dims[ROWS],
        .hidden = (int)launch->problem->dims[HIDDEN],
        .factor = (float)launch->scalars[0],
    };
}

static void cost(void *user, const struct tfops_problem *problem, struct tfops_cost *ret_cost)
{
    const uint64_t elems = (uint64_t)problem->dims[ROWS] * (uint64_t)problem->dims[HIDDEN];
    (void)user;
    *ret_cost = (struct tfops_cost){elems * 4, elems * 4, elems};
}

static void tolerance(void *user, const struct tfops_problem *problem, size_t operand,
    struct tfops_tolerance *ret_tolerance)
{
    (void)user, (void)problem, (void)operand;
    *ret_tolerance = (struct tfops_tolerance){1e-6, 1e-6, 1e-6};
}

static enum tfops_status reference(void *user, const struct tfops_launch_args *launch)
{
    const struct tfops_view *o = launch->operands;
    const double factor = launch->scalars[0];
    (void)user;
    for (int64_t row = 0; row < launch->problem->dims[ROWS]; row++)
        for (int64_t i = 0; i < launch->problem->dims[HIDDEN]; i++)
            ((float *)o[Y].data)[row * o[Y].strides[0] + i] =
                (float)((double)((const float *)o[X].data)[row * o[X].strides[0] + i] * factor);
    return TFOPS_OK;
}

static const struct tfops_spec bad_scale = {
    .size = sizeof(struct tfops_spec),
    .abi = TFOPS_SPEC_ABI,
    .version = 1,
    .name = "bad_scale",
    .summary = "a space with bad configs on purpose",
    .formula = "y = x * factor",
    .dims = dims,
    .n_dims = sizeof dims / sizeof *dims,
    .dtypes = dtypes,
    .n_dtypes = 1,
    .scalars = scalars,
    .n_scalars = 1,
    .operands = operands,
    .n_operands = sizeof operands / sizeof *operands,
    .tunables = tunables,
    .n_tunables = sizeof tunables / sizeof *tunables,
    .template_path = "bad_plugin.cu",
    .source = bad_scale_template,
    .body = "bad_scale",
    .generic_body = "bad_scale_generic",
    .params_type = "bad_scale_params",
    .param_bytes = sizeof(struct bad_scale_params),
    .constraint = constraint,
    .default_config = default_config,
    .geometry = geometry,
    .pack = pack,
    .cost = cost,
    .tolerance = tolerance,
    .reference = reference,
};

const struct tfops_spec *const *tfops_plugin(size_t *ret_count);

const struct tfops_spec *const *tfops_plugin(size_t *ret_count)
{
    static const struct tfops_spec *const specs[] = {&bad_scale};
    *ret_count = 1;
    return specs;
}
