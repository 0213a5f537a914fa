/* The field tables of the cache's rows (see tables.h): the columns of schema.sql, in their order.
 */
#include "cache/tables.h"
#include "cache/binary_store.h"
#include <tfops/cache.h>

#define N(array) ((int)(sizeof(array) / sizeof *(array)))

#define FIELD(type, member)                                                                        \
    {                                                                                              \
        type, offsetof(struct tfops_record, member)                                                \
    }
static const struct row_field RECORD[] = {
    FIELD(ROW_TEXT, sku),
    FIELD(ROW_TEXT, op),
    FIELD(ROW_U32, spec_version),
    FIELD(ROW_TEXT, problem),
    FIELD(ROW_I64, extent),
    FIELD(ROW_TEXT, config),
    FIELD(ROW_DIGEST, binary_sha256),
    FIELD(ROW_REAL, median_ns),
    FIELD(ROW_REAL, low_ns),
    FIELD(ROW_REAL, high_ns),
    FIELD(ROW_REAL, default_ns),
    FIELD(ROW_TEXT, runner_up),
    FIELD(ROW_REAL, runner_up_ns),
    FIELD(ROW_U32, samples),
    FIELD(ROW_REAL, error),
    FIELD(ROW_I32, sm_clock_mhz),
    FIELD(ROW_TEXT, driver),
    FIELD(ROW_TEXT, nvrtc),
    FIELD(ROW_TEXT, host),
    FIELD(ROW_TEXT, tfops_version),
    FIELD(ROW_TEXT, date),
    FIELD(ROW_TEXT, provenance),
};
const struct row_table table_record = {"record/1", RECORD, N(RECORD)};
#undef FIELD

#define FIELD(type, member)                                                                        \
    {                                                                                              \
        type, offsetof(struct binary, member)                                                      \
    }
static const struct row_field BINARY[] = {
    FIELD(ROW_DIGEST, sha256),
    FIELD(ROW_DIGEST, build_key),
    FIELD(ROW_DIGEST, abi),
    FIELD(ROW_TEXT, op),
    FIELD(ROW_TEXT, arch),
    FIELD(ROW_TEXT, entry),
    FIELD(ROW_TEXT, config),
    FIELD(ROW_TEXT, nvrtc),
    FIELD(ROW_TEXT, date),
    FIELD(ROW_U32, registers),
    FIELD(ROW_U32, spill_bytes),
    FIELD(ROW_U32, smem_static_bytes),
    FIELD(ROW_U32, threads),
    FIELD(ROW_U32, min_blocks),
    FIELD(ROW_U32, cluster),
    FIELD(ROW_U32, smem_bytes),
    FIELD(ROW_U32, param_bytes),
    FIELD(ROW_I32, min_driver),
};
_Static_assert(sizeof BINARY / sizeof *BINARY + 1 == TABLE_BINARY_N, "columns of binary");
const struct row_table table_binary = {"binary/1", BINARY, N(BINARY)};
#undef FIELD

static const struct row_field BUILD[] = {
    {ROW_DIGEST, offsetof(struct table_build, build_key)},
    {ROW_DIGEST, offsetof(struct table_build, sha256)},
};
const struct row_table table_build = {"build/1", BUILD, N(BUILD)};

#define FIELD(type, member)                                                                        \
    {                                                                                              \
        type, offsetof(struct table_sample, member)                                                \
    }
static const struct row_field SAMPLE[] = {
    FIELD(ROW_TEXT, sku),
    FIELD(ROW_TEXT, op),
    FIELD(ROW_U32, spec_version),
    FIELD(ROW_TEXT, problem),
    FIELD(ROW_I64, extent),
    FIELD(ROW_TEXT, config),
    FIELD(ROW_TEXT, samples),
};
const struct row_table table_sample = {"sample/1", SAMPLE, N(SAMPLE)};
#undef FIELD
