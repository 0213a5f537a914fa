/* Device identity: the nominal table, real devices through the fake driver, SKU text. */
#include "device.h"
#include "tests/support/expect.h"
#include "tests/support/test_support.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <tfops/engine.h>

enum { GIB = 1 << 30 };

Test(device, nominal_table_has_every_architecture_of_the_design)
{
    static const char *const ARCHS[] = {
        "sm_80", "sm_86", "sm_89", "sm_90a", "sm_100a", "sm_103a", "sm_120a"};
    EXPECT_INT(tfops_arch_count(), 7);
    cr_assert_null(tfops_arch_name(7));
    for (size_t i = 0; i < 7; i++) {
        struct tfops_device device;
        EXPECT_TEXT(tfops_arch_name(i), ARCHS[i]);
        EXPECT_OK(device_nominal(ARCHS[i], &device));
        EXPECT_TEXT(device.arch, ARCHS[i]);
        EXPECT_INT(device.size, sizeof device);
        EXPECT_INT(device.cc, strtol(ARCHS[i] + 3, NULL, 10));
        EXPECT_INT(device.regs_per_sm, 65536);
        cr_assert(device.nominal && device.sms > 0 && device.max_blocks_per_sm > 0);
        cr_assert(device.max_threads_per_sm == 1536 || device.max_threads_per_sm == 2048);
        cr_assert(device.smem_per_block_bytes < device.smem_per_sm_bytes);
        cr_assert_eq(device.max_cluster > 1, device.cc >= 90, "%s: cluster %d", ARCHS[i],
            device.max_cluster);
    }
}

Test(device, nominal_refuses_other_architectures_and_lists_these)
{
    static const char *const NAMES[] = {"", "sm_90", "sm_75", "SM_80", "sm_80 "};
    struct tfops_device device = {.cc = 1};
    for (int i = 0; i < 5; i++) {
        EXPECT_REFUSED(device_nominal(NAMES[i], &device), TFOPS_E_UNKNOWN, NAMES[i]);
        EXPECT_CONTAINS(expect_error().expected, "sm_90a");
        EXPECT_INT(device.cc, 1); /* written only on success */
    }
}

Test(device, cpu_is_one)
{
    struct tfops_device device;
    char sku[DEVICE_SKU_BYTES];
    device_cpu(&device);
    EXPECT_TEXT(device.arch, "cpu");
    EXPECT_INT(device.max_cluster, 1);
    device_sku(&device, sku);
    EXPECT_CONTAINS(sku, "CPU reference/");
}

static struct tfops_device h200(void)
{
    return (struct tfops_device){.size = sizeof(struct tfops_device),
        .name = "NVIDIA H200",
        .arch = "sm_90a",
        .cc = 90,
        .sms = 132,
        .l2_bytes = 60 << 20,
        .memory_bytes = 150100000000};
}

Test(device, sku_says_what_a_record_is_valid_for)
{
    struct tfops_device device = h200();
    char sku[DEVICE_SKU_BYTES];
    device_sku(&device, sku);
    EXPECT_TEXT(sku, "NVIDIA H200/cc90/132sm/60mb-l2/140gib/");
    snprintf(device.mig, sizeof device.mig, "3g.71gb");
    device_sku(&device, sku);
    EXPECT_TEXT(sku, "NVIDIA H200/cc90/132sm/60mb-l2/140gib/3g.71gb");
    device.nominal = true;
    device_sku(&device, sku);
    EXPECT_TEXT(sku, "NVIDIA H200/cc90/132sm/60mb-l2/140gib/3g.71gb/nominal");
}

Test(device, sku_rounds_memory_to_4_gib)
{
    static const struct {
        int64_t bytes;
        const char *text;
    } CASES[] = {{80ll * GIB, "/80gib/"}, {79ll * GIB, "/80gib/"}, {78ll * GIB, "/80gib/"},
        {78ll * GIB - 1, "/76gib/"}, {81ll * GIB, "/80gib/"}, {82ll * GIB - 1, "/80gib/"},
        {0, "/0gib/"}, {2ll * GIB, "/4gib/"}, {2ll * GIB - 1, "/0gib/"}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct tfops_device device = h200();
        char sku[DEVICE_SKU_BYTES];
        device.memory_bytes = CASES[i].bytes;
        device_sku(&device, sku);
        EXPECT_CONTAINS(sku, CASES[i].text);
    }
}

/* ---- a real device, by a table of this file -------------------------------------------------- */

static struct {
    const char *name;
    int major, minor, cluster;
    CUresult fails;
} gpu;

static CUresult get(CUdevice *device, int ordinal)
{
    *device = ordinal;
    return ordinal ? CUDA_ERROR_INVALID_DEVICE : CUDA_SUCCESS;
}

static CUresult get_name(char *name, int length, CUdevice device)
{
    (void)device;
    snprintf(name, (size_t)length, "%s", gpu.name);
    return gpu.fails;
}

static CUresult total_mem(size_t *bytes, CUdevice device)
{
    (void)device;
    *bytes = (size_t)24 << 30;
    return CUDA_SUCCESS;
}

static CUresult get_attribute(int *value, CUdevice_attribute attribute, CUdevice device)
{
    (void)device;
    *value = attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR   ? gpu.major
             : attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR ? gpu.minor
             : attribute == CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH           ? gpu.cluster
             : attribute == CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE            ? 50 << 20
                                                                         : (int)attribute;
    return CUDA_SUCCESS;
}

static const struct driver driver = {.device_get = get,
    .device_get_name = get_name,
    .device_total_mem = total_mem,
    .device_get_attribute = get_attribute};

Test(device, query_reads_every_limit_into_its_field)
{
    struct tfops_device device;
    gpu.name = "NVIDIA Test", gpu.major = 9, gpu.cluster = 1;
    EXPECT_OK(device_query(&driver, 0, &device));
    EXPECT_TEXT(device.name, "NVIDIA Test");
    EXPECT_INT(device.sms, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
    EXPECT_INT(device.max_threads_per_sm, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR);
    EXPECT_INT(device.max_blocks_per_sm, CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR);
    EXPECT_INT(device.regs_per_sm, CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR);
    EXPECT_INT(device.smem_per_block_bytes, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
    EXPECT_INT(device.smem_per_sm_bytes, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR);
    EXPECT_INT(device.l2_bytes, 50 << 20);
    EXPECT_INT(device.memory_bytes, 24ll * GIB);
    EXPECT_TEXT(device.mig, "");
    cr_assert_not(device.nominal);
}

Test(device, query_names_the_architecture_that_code_is_made_for)
{
    static const struct {
        int major, minor, cluster, max_cluster;
        const char *arch;
    } CASES[] = {{8, 0, 0, 1, "sm_80"}, {8, 6, 0, 1, "sm_86"}, {8, 9, 0, 1, "sm_89"},
        {9, 0, 1, 16, "sm_90a"}, {10, 0, 1, 16, "sm_100a"}, {10, 3, 1, 16, "sm_103a"},
        {12, 0, 1, 8, "sm_120a"}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct tfops_device device;
        gpu.name = "x", gpu.major = CASES[i].major, gpu.minor = CASES[i].minor;
        gpu.cluster = CASES[i].cluster;
        EXPECT_OK(device_query(&driver, 0, &device));
        EXPECT_TEXT(device.arch, CASES[i].arch);
        EXPECT_INT(device.cc, CASES[i].major * 10 + CASES[i].minor);
        EXPECT_INT(device.max_cluster, CASES[i].max_cluster);
    }
}

Test(device, query_reads_the_mig_profile)
{
    struct tfops_device device;
    gpu.name = "NVIDIA H200 MIG 3g.71gb", gpu.major = 9;
    EXPECT_OK(device_query(&driver, 0, &device));
    EXPECT_TEXT(device.mig, "3g.71gb");
}

Test(device, query_says_what_failed)
{
    struct tfops_device device = {.cc = 7};
    gpu.name = "x";
    EXPECT_REFUSED(device_query(&driver, 3, &device), TFOPS_E_UNKNOWN, "cuda:3");
    gpu.fails = CUDA_ERROR_UNKNOWN;
    EXPECT_REFUSED(device_query(&driver, 0, &device), TFOPS_E_DRIVER, "cuda:0");
    EXPECT_INT(expect_error().native, CUDA_ERROR_UNKNOWN);
    EXPECT_INT(device.cc, 7);
}
