/*
 * Copies and fills in stream order on both kinds of device, and addresses that a device cannot read:
 * named by the first launch of a plan, before anything is enqueued.
 */
#include "stream_work.h"
#include "tests/fakes/fake_cuda.h"
#include "tests/support/expect.h"
#include "tests/support/test_support.h"
#include <criterion/criterion.h>
#include <tfops/tfops.h>

enum { ROWS = 5, COLS = 7, STRIDE = 9 };

static struct support_engine support;
static struct tfops_engine *engine;
static uint64_t (*counter)(const char *);

static void begin(void)
{
    support_use_fake_cuda();
    unsetenv("TFOPS_CACHE");
    unsetenv("TFOPS_KERNEL_DIR");
}

static void end(void)
{
    support_engine_close(&support);
}

TestSuite(stream_work, .init = begin, .fini = end);

static void open_on(const char *device)
{
    void *found;
    support_engine_open(&support, device, NULL);
    engine = support.engine;
    found = support_fake_symbol("fake_cuda_counter");
    memcpy(&counter, &found, sizeof found);
}

static const char *const DEVICES[] = {"cpu", "cuda:0"};

/* Bytes of both devices can be read here. */
static void check_copy(int64_t from_stride, int64_t to_stride)
{
    uint16_t *from, *to;
    EXPECT_OK(tfops_device_alloc(engine, ROWS * STRIDE * 2, (void **)&from));
    EXPECT_OK(tfops_device_alloc(engine, ROWS * STRIDE * 2, (void **)&to));
    for (int i = 0; i < ROWS * STRIDE; i++)
        from[i] = (uint16_t)i, to[i] = 0x5a5a;
    struct tfops_tensor source =
        tfops_tensor_contiguous(from, TFOPS_F16, 2, (const int64_t[]){ROWS, COLS});
    struct tfops_tensor target = source;
    target.data = to;
    source.strides[0] = from_stride;
    target.strides[0] = to_stride;
    EXPECT_OK(stream_work_copy(engine, &source, &target, NULL));
    for (int64_t i = 0; i < ROWS * to_stride; i++) {
        const int64_t row = i / to_stride, col = i % to_stride;
        EXPECT_INT(to[i], col < COLS ? row * from_stride + col : 0x5a5a);
    }
    tfops_device_free(engine, from);
    tfops_device_free(engine, to);
}

Test(stream_work, copies_rows_and_leaves_gaps)
{
    for (size_t i = 0; i < 2; i++) {
        open_on(DEVICES[i]);
        check_copy(COLS, COLS);
        check_copy(STRIDE, COLS);
        check_copy(COLS, STRIDE);
        check_copy(STRIDE, STRIDE);
        end();
    }
}

Test(stream_work, fills)
{
    for (size_t i = 0; i < 2; i++) {
        uint32_t *words;
        open_on(DEVICES[i]);
        EXPECT_OK(tfops_device_alloc(engine, 16, (void **)&words));
        memset(words, 0xff, 16);
        EXPECT_OK(stream_work_zero(engine, words, 5, NULL));
        EXPECT_OK(stream_work_set_word(engine, words + 2, 0x12345678, NULL));
        EXPECT_INT(words[0], 0);
        EXPECT_INT(words[1], 0xffffff00);
        EXPECT_INT(words[2], 0x12345678);
        EXPECT_INT(words[3], 0xffffffff);
        tfops_device_free(engine, words);
        end();
    }
}

/* ---- addresses -------------------------------------------------------------------------------- */

static struct support_rmsnorm call;

static enum tfops_status launch(void)
{
    return tfops_launch(engine, tfops_engine_operator(engine, "rmsnorm"), &call.args, NULL);
}

Test(stream_work, the_first_launch_names_memory_of_the_host)
{
    static uint16_t on_host[64];
    open_on("cuda:0");
    support_rmsnorm_make(&call, engine, TFOPS_F16, 2, 64);
    void *const data = call.weight.tensor.data;
    call.weight.tensor.data = on_host;
    EXPECT_STATUS(launch(), TFOPS_E_ARGUMENT);
    EXPECT_DETAIL(
        "weight: expected memory of the engine's device, got an address that CUDA does not "
        "know, e.g. of the host");
    EXPECT_INT(counter("kernels"), 0);
    call.weight.tensor.data = data;
    EXPECT_OK(launch());
    EXPECT_INT(counter("kernels"), 1);
    const uint64_t asked = counter("cuPointerGetAttribute");
    EXPECT_OK(launch());
    EXPECT_INT(counter("cuPointerGetAttribute"), asked);
    support_rmsnorm_free(&call);
}

Test(stream_work, no_rows_have_no_address)
{
    static uint16_t on_host[64];
    open_on("cuda:0");
    support_rmsnorm_make(&call, engine, TFOPS_F16, 2, 64);
    void *const data = call.weight.tensor.data;
    call.weight.tensor.data = on_host;
    call.x.tensor.shape[0] = call.out.tensor.shape[0] = 0;
    EXPECT_OK(launch());
    call.weight.tensor.data = data;
    call.x.tensor.shape[0] = call.out.tensor.shape[0] = 2;
    support_rmsnorm_free(&call);
}

Test(stream_work, memory_of_another_device_is_named)
{
    setenv("FAKE_CUDA_DEVICES", "2", 1);
    struct support_engine other = {0};
    struct support_tensor there;
    const struct support_shape shape = {TFOPS_F16, 0, 64, 0, 0};
    open_on("cuda:0");
    support_rmsnorm_make(&call, engine, TFOPS_F16, 2, 64);
    support_engine_open(&other, "cuda:1", NULL);
    support_tensor_make(&there, other.engine, &shape, 1);
    call.args.operands[1] = &there.tensor;
    EXPECT_STATUS(launch(), TFOPS_E_ARGUMENT);
    EXPECT_DETAIL("weight: expected memory of the engine's device, got memory of a device that it "
                  "cannot read");
    support_tensor_free(&there);
    support_engine_close(&other);
    support_rmsnorm_free(&call);
}
