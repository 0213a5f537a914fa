/* Tensor maps that a thread keeps, against maps encoded each time. */
#include "tensor_maps.h"
#include "tests/support/host_data.h"
#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

enum { SHAPES = 300, CALLS = 5000 };

static _Thread_local unsigned encoded, moved;
static CUresult next_result = CUDA_SUCCESS;

static CUresult CUDAAPI encode_tiled(CUtensorMap *map, CUtensorMapDataType type, cuuint32_t rank,
    void *address, const cuuint64_t *dims, const cuuint64_t *strides, const cuuint32_t *box,
    const cuuint32_t *element_strides, CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
    CUtensorMapL2promotion l2_promotion, CUtensorMapFloatOOBfill oob_fill)
{
    encoded++;
    *map = (CUtensorMap){{(uintptr_t)address, dims[0], dims[1], strides[0], box[0], box[1],
        element_strides[0], (uint64_t)type + 100 * rank,
        (uint64_t)interleave + 10u * swizzle + 100u * l2_promotion + 1000u * oob_fill}};
    return next_result;
}

static CUresult CUDAAPI replace_address(CUtensorMap *map, void *address)
{
    moved++;
    map->opaque[0] = (uintptr_t)address;
    return next_result;
}

static const struct driver DRIVER = {
    .tensor_map_encode_tiled = encode_tiled, .tensor_map_replace_address = replace_address};

/* An operator of two maps: their shapes are the call's. */
struct call {
    struct tfops_view views[2];
    struct tfops_tensor_map maps[2];
};

static size_t maps_of(
    void *user, const struct tfops_launch_args *launch, struct tfops_tensor_map *ret_maps)
{
    (void)user;
    const struct call *call = (const struct call *)launch->operands;
    memcpy(ret_maps, call->maps, sizeof call->maps);
    return 2;
}

static const struct tfops_spec SPEC = {.name = "two_maps", .tensor_maps = maps_of};

static struct tfops_tensor_map map_of(int operand, uint64_t rows, uint64_t cols, uint32_t box)
{
    return (struct tfops_tensor_map){.operand = operand,
        .param_offset = (uint32_t)operand * 128,
        .rank = 2,
        .data_type = CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
        .swizzle = CU_TENSOR_MAP_SWIZZLE_128B,
        .dims = {cols, rows},
        .strides_bytes = {2 * cols},
        .box = {64, box},
        .element_strides = {1, 1}};
}

static struct call call_of(uint64_t rows, uintptr_t x, uintptr_t weight)
{
    struct call call = {.maps = {map_of(0, rows, 512, 128), map_of(1, 1024, 512, 64)}};
    call.views[0].data = (void *)x;
    call.views[1].data = (void *)weight;
    return call;
}

static CUresult put(const struct call *call, unsigned char *params, const char **ret_call)
{
    const struct tfops_launch_args args = {.operands = call->views};
    *ret_call = "none";
    return tensor_maps_put(&DRIVER, &SPEC, &args, params, ret_call);
}

/* The parameters are what encoding gives. */
static void expect_right(const struct call *call)
{
    _Alignas(128) unsigned char kept[256], anew[256];
    const struct tfops_launch_args args = {.operands = call->views};
    const char *name;
    size_t n;
    cr_assert_eq(put(call, kept, &name), CUDA_SUCCESS);
    const unsigned by_put = encoded;
    cr_assert_eq(tensor_maps_encode(&DRIVER, &SPEC, &args, anew, &n), CUDA_SUCCESS);
    cr_assert_eq(n, 2);
    encoded = by_put; /* the tests count what put() encodes */
    cr_assert_arr_eq(kept, anew, sizeof kept);
}

Test(tensor_maps, the_same_call_makes_no_driver_call)
{
    const struct call call = call_of(4, 0x1000, 0x2000);
    expect_right(&call);
    cr_assert_eq(encoded, 2);
    expect_right(&call);
    cr_assert_eq(encoded, 2);
    cr_assert_eq(moved, 0);
}

Test(tensor_maps, another_address_is_put_in_and_another_shape_encoded)
{
    struct call call = call_of(4, 0x1000, 0x2000);
    expect_right(&call);
    call = call_of(4, 0x1000, 0x3000);
    expect_right(&call);
    cr_assert_eq(encoded, 2);
    cr_assert_eq(moved, 1);
    call = call_of(5, 0x1000, 0x3000);
    expect_right(&call);
    cr_assert_eq(encoded, 3);
    cr_assert_eq(moved, 1);
}

/* Two operands of one shape share what is kept; every field of a map counts. */
Test(tensor_maps, maps_are_told_apart_by_each_field)
{
    struct call call = call_of(4, 0x1000, 0x2000);
    call.maps[1] = map_of(1, 4, 512, 128);
    expect_right(&call);
    cr_assert_eq(encoded, 1);
    cr_assert_eq(moved, 1);
    struct tfops_tensor_map *const other = &call.maps[1];
    uint32_t *const fields[] = {&other->data_type, &other->swizzle, &other->interleave,
        &other->l2_promotion, &other->oob_fill, &other->box[0], &other->element_strides[0]};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        ++*fields[i];
        expect_right(&call);
    }
}

/* More shapes than are kept, in any order. */
Test(tensor_maps, maps_that_take_each_others_place_stay_right)
{
    uint64_t seed = 1;
    for (int i = 0; i < CALLS; i++) {
        const uint64_t word = host_random(&seed);
        const struct call call = call_of(
            1 + word % SHAPES, 0x1000 + (word >> 20) % 4 * 16, 0x20000 + (word >> 30) % 4 * 16);
        expect_right(&call);
    }
    cr_assert_gt(moved, 0);
}

/* What failed is not kept, and the call that failed is named. */
Test(tensor_maps, a_failure_is_told_and_forgotten)
{
    _Alignas(128) unsigned char params[256];
    const char *name;
    const struct call first = call_of(4, 0x1000, 0x2000), second = call_of(4, 0x1000, 0x3000);
    next_result = CUDA_ERROR_INVALID_VALUE;
    cr_assert_eq(put(&first, params, &name), CUDA_ERROR_INVALID_VALUE);
    cr_assert_str_eq(name, "cuTensorMapEncodeTiled");
    next_result = CUDA_SUCCESS;
    expect_right(&first);
    next_result = CUDA_ERROR_INVALID_VALUE;
    cr_assert_eq(put(&second, params, &name), CUDA_ERROR_INVALID_VALUE);
    cr_assert_str_eq(name, "cuTensorMapReplaceAddress");
    next_result = CUDA_SUCCESS;
    expect_right(&second);
    expect_right(&first);
}

static void *encode_in_thread(void *user)
{
    expect_right(user);
    cr_assert_eq(encoded, 2);
    return NULL;
}

Test(tensor_maps, each_thread_keeps_its_own)
{
    struct call call = call_of(4, 0x1000, 0x2000);
    pthread_t thread;
    expect_right(&call);
    cr_assert_eq(pthread_create(&thread, NULL, encode_in_thread, &call), 0);
    pthread_join(thread, NULL);
}
