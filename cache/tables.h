/*
 * The columns of schema.sql: field tables and SQL lists, in one order. Whoever changes one changes
 * the other two, and the version in the table's name.
 */
#ifndef TFOPS_CACHE_TABLES_H
#define TFOPS_CACHE_TABLES_H

#include "cache/row.h"

extern const struct row_table table_record; /* struct tfops_record */
#define TABLE_RECORD_COLUMNS                                                                       \
    "sku, op, spec_version, problem, extent, config, binary_sha256, median_ns, low_ns, high_ns, "  \
    "default_ns, runner_up, runner_up_ns, samples, error, sm_clock_mhz, driver, nvrtc, host, "     \
    "tfops_version, date, provenance, digest"
#define TABLE_RECORD_PARAMETERS                                                                    \
    "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, "  \
    "?21, ?22, ?23"

extern const struct row_table table_binary; /* struct binary, without its image */
#define TABLE_BINARY_COLUMNS                                                                       \
    "sha256, build_key, abi, op, arch, entry, config, nvrtc, date, registers, spill_bytes, "       \
    "smem_static_bytes, threads, min_blocks, cluster, smem_bytes, param_bytes, min_driver, digest"
#define TABLE_BINARY_N 19 /* of the columns above; the image follows them */
#define TABLE_BINARY_PARAMETERS                                                                    \
    "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19"

struct table_build {
    uint8_t build_key[HASH_BYTES], sha256[HASH_BYTES];
};
extern const struct row_table table_build;
#define TABLE_BUILD_COLUMNS "build_key, sha256, digest"
#define TABLE_BUILD_PARAMETERS "?1, ?2, ?3"

struct table_sample {
    const char *sku, *op;
    uint32_t spec_version;
    const char *problem;
    int64_t extent;
    const char *config, *samples;
};
extern const struct row_table table_sample;
#define TABLE_SAMPLE_COLUMNS "sku, op, spec_version, problem, extent, config, samples, digest"
#define TABLE_SAMPLE_PARAMETERS "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8"

#endif
