/* Device identity (see device.h). */
#include "device.h"
#include "base/error.h"
#include <stdio.h>
#include <string.h>

enum { GIB = 1 << 30 };
#define KIB(n) ((n)*INT64_C(1024))
#define MIB(n) ((n)*INT64_C(1048576))

/*
 * One row per architecture that operators must answer for, with the numbers of its best-known part:
 * what a compile without a GPU assumes. Limits: CUDA Programming Guide, "Compute Capabilities".
 */
/* clang-format off */
static const struct tfops_device NOMINAL[] = {
    {.name = "NVIDIA A100", .arch = "sm_80", .cc = 80, .sms = 108, .max_threads_per_sm = 2048,
        .max_blocks_per_sm = 32, .smem_per_block_bytes = KIB(163), .smem_per_sm_bytes = KIB(164),
        .l2_bytes = MIB(40), .memory_bytes = 80ll * GIB},
    {.name = "NVIDIA A10", .arch = "sm_86", .cc = 86, .sms = 72, .max_threads_per_sm = 1536,
        .max_blocks_per_sm = 16, .smem_per_block_bytes = KIB(99), .smem_per_sm_bytes = KIB(100),
        .l2_bytes = MIB(6), .memory_bytes = 24ll * GIB},
    {.name = "NVIDIA L40S", .arch = "sm_89", .cc = 89, .sms = 142, .max_threads_per_sm = 1536,
        .max_blocks_per_sm = 24, .smem_per_block_bytes = KIB(99), .smem_per_sm_bytes = KIB(100),
        .l2_bytes = MIB(96), .memory_bytes = 48ll * GIB},
    {.name = "NVIDIA H200", .arch = "sm_90a", .cc = 90, .sms = 132, .max_threads_per_sm = 2048,
        .max_blocks_per_sm = 32, .max_cluster = 16, .smem_per_block_bytes = KIB(227),
        .smem_per_sm_bytes = KIB(228), .l2_bytes = MIB(60), .memory_bytes = 140ll * GIB},
    {.name = "NVIDIA B200", .arch = "sm_100a", .cc = 100, .sms = 148, .max_threads_per_sm = 2048,
        .max_blocks_per_sm = 32, .max_cluster = 16, .smem_per_block_bytes = KIB(227),
        .smem_per_sm_bytes = KIB(228), .l2_bytes = MIB(126), .memory_bytes = 180ll * GIB},
    {.name = "NVIDIA B300", .arch = "sm_103a", .cc = 103, .sms = 148, .max_threads_per_sm = 2048,
        .max_blocks_per_sm = 32, .max_cluster = 16, .smem_per_block_bytes = KIB(227),
        .smem_per_sm_bytes = KIB(228), .l2_bytes = MIB(126), .memory_bytes = 268ll * GIB},
    {.name = "NVIDIA RTX PRO 6000", .arch = "sm_120a", .cc = 120, .sms = 188,
        .max_threads_per_sm = 1536, .max_blocks_per_sm = 24, .max_cluster = 8,
        .smem_per_block_bytes = KIB(99), .smem_per_sm_bytes = KIB(100), .l2_bytes = MIB(128),
        .memory_bytes = 96ll * GIB},
};
/* clang-format on */
enum { N_NOMINAL = sizeof NOMINAL / sizeof NOMINAL[0], REGS_PER_SM = 65536 };

size_t tfops_arch_count(void)
{
    return N_NOMINAL;
}

const char *tfops_arch_name(size_t i)
{
    return i < N_NOMINAL ? NOMINAL[i].arch : NULL;
}

enum tfops_status device_nominal(const char *arch, struct tfops_device *ret_device)
{
    for (int i = 0; i < N_NOMINAL; i++) {
        if (strcmp(arch, NOMINAL[i].arch))
            continue;
        *ret_device = NOMINAL[i];
        ret_device->size = sizeof *ret_device;
        ret_device->regs_per_sm = REGS_PER_SM;
        ret_device->max_cluster += !ret_device->max_cluster;
        ret_device->nominal = true;
        return TFOPS_OK;
    }
    return error_set(TFOPS_E_UNKNOWN, "device", arch,
        "one of sm_80 sm_86 sm_89 sm_90a sm_100a sm_103a sm_120a", arch);
}

void device_cpu(struct tfops_device *ret_device)
{
    *ret_device = (struct tfops_device){
        .size = sizeof *ret_device, .name = "CPU reference", .arch = "cpu", .max_cluster = 1};
}

/* The architecture-specific target where there is one: wgmma and tcgen05 exist only there. */
static void name_arch(int cc, char *arch, size_t bytes)
{
    snprintf(arch, bytes, "sm_%d%s", cc, cc >= 90 ? "a" : "");
}

static const struct {
    CUdevice_attribute attribute;
    size_t offset;
    bool wide;
} ATTRIBUTES[] = {
#define ROW(attribute, field)                                                                      \
    {                                                                                              \
        CU_DEVICE_ATTRIBUTE_##attribute, offsetof(struct tfops_device, field),                     \
            sizeof(((struct tfops_device *)0)->field) == 8                                         \
    }
    ROW(MULTIPROCESSOR_COUNT, sms),
    ROW(MAX_THREADS_PER_MULTIPROCESSOR, max_threads_per_sm),
    ROW(MAX_BLOCKS_PER_MULTIPROCESSOR, max_blocks_per_sm),
    ROW(MAX_REGISTERS_PER_MULTIPROCESSOR, regs_per_sm),
    ROW(MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, smem_per_block_bytes),
    ROW(MAX_SHARED_MEMORY_PER_MULTIPROCESSOR, smem_per_sm_bytes),
    ROW(L2_CACHE_SIZE, l2_bytes),
#undef ROW
};

static CUresult read_attributes(
    const struct driver *driver, CUdevice handle, struct tfops_device *device)
{
    for (size_t i = 0; i < sizeof ATTRIBUTES / sizeof ATTRIBUTES[0]; i++) {
        int value = 0;
        CUresult result = driver->device_get_attribute(&value, ATTRIBUTES[i].attribute, handle);
        if (result)
            return result;
        char *field = (char *)device + ATTRIBUTES[i].offset;
        if (ATTRIBUTES[i].wide)
            *(int64_t *)(void *)field = value;
        else
            *(int32_t *)(void *)field = value;
    }
    return CUDA_SUCCESS;
}

/* A MIG slice shows in the device's name ("… MIG 3g.71gb"). */
static void read_mig(struct tfops_device *device)
{
    const char *mig = strstr(device->name, " MIG ");
    if (mig)
        snprintf(device->mig, sizeof device->mig, "%.*s", (int)sizeof device->mig - 1, mig + 5);
}

enum tfops_status device_query(
    const struct driver *driver, int ordinal, struct tfops_device *ret_device)
{
    struct tfops_device device = {.size = sizeof device};
    CUdevice handle = 0;
    int major = 0, minor = 0, cluster = 0;
    size_t memory = 0;
    char subject[32];
    snprintf(subject, sizeof subject, "cuda:%d", ordinal);
    CUresult result = driver->device_get(&handle, ordinal);
    if (result == CUDA_ERROR_INVALID_DEVICE)
        return error_set(TFOPS_E_UNKNOWN, "device", subject, "a device of this host", subject);
    if (!result)
        result = driver->device_get_name(device.name, sizeof device.name, handle);
    if (!result)
        result = driver->device_total_mem(&memory, handle);
    if (!result)
        result = driver->device_get_attribute(
            &major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, handle);
    if (!result)
        result = driver->device_get_attribute(
            &minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, handle);
    if (!result)
        result = driver->device_get_attribute(&cluster, CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH, handle);
    if (!result)
        result = read_attributes(driver, handle, &device);
    if (result)
        return driver_error(driver, result, "cuDeviceGetAttribute", subject);
    device.cc = major * 10 + minor;
    device.memory_bytes = (int64_t)memory;
    device.max_cluster = !cluster ? 1 : major == 12 ? 8 : 16;
    name_arch(device.cc, device.arch, sizeof device.arch);
    read_mig(&device);
    *ret_device = device;
    return TFOPS_OK;
}

void device_sku(const struct tfops_device *device, char ret_sku[DEVICE_SKU_BYTES])
{
    int64_t four_gib = 4ll * GIB;
    int64_t memory_gib = (device->memory_bytes + four_gib / 2) / four_gib * 4;
    snprintf(ret_sku, DEVICE_SKU_BYTES, "%s/cc%d/%dsm/%lldmb-l2/%lldgib/%s%s", device->name,
        device->cc, device->sms, (long long)(device->l2_bytes >> 20), (long long)memory_gib,
        device->mig, device->nominal ? "/nominal" : "");
}
