/*
 * Records: tuning results. Keyed by SKU, operator, spec version, the problem's static part as
 * canonical text, and the exact measured extent of the dynamic dimension.
 */
#ifndef TFOPS_CACHE_RECORD_STORE_H
#define TFOPS_CACHE_RECORD_STORE_H

#include "base/env.h"
#include "base/hash.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tfops/cache.h>

struct db;

struct record_key {
    const char *sku, *op;
    uint32_t spec_version;
    const char *problem; /* static part, canonical */
};

/* An owned copy of a struct tfops_record: release with record_release(). */
struct record {
    struct tfops_record row; /* its strings point into text */
    char *text;
};

struct record_list {
    struct record *records;
    size_t n, capacity;
};

void record_release(const struct env *env, struct record *record);
void record_list_release(const struct env *env, struct record_list *list);
/* Deep-copies `row` to the end of the list. */
enum tfops_status record_list_add(
    const struct env *env, struct record_list *list, const struct tfops_record *row);

/* The canonical order: SKU, operator, spec version, problem, extent. Strings by bytes. */
int record_compare(const struct tfops_record *a, const struct tfops_record *b);

/* Appends the records of the key by ascending extent. Bad rows are left out and counted. On failure
 * the list is as before. row.revalidate is false: it depends on what else is in the file. */
enum tfops_status record_store_find(
    struct db *db, const struct record_key *key, struct record_list *list);
/*
 * Inserts or replaces the record of (key, extent). `row` carries key fields and values; size, id
 * and revalidate are ignored, a NULL text that is not part of the key counts as "".
 * TFOPS_E_ARGUMENT for a NULL in the key or a number that is not finite, TFOPS_E_RANGE for a
 * negative extent, TFOPS_E_IO (disk full), TFOPS_E_BUSY, TFOPS_E_CACHE (read-only), TFOPS_E_MEMORY.
 */
enum tfops_status record_store_put(struct db *db, const struct tfops_record *row);
/* Appends every record of the SKU (NULL: all) in canonical order. */
enum tfops_status record_store_list(struct db *db, const char *sku, struct record_list *list);

/* Samples of an unfinished tuning run: what --resume goes on from. One row per config; `fn` gets
 * them in the order of configs, without a lock held. */
enum tfops_status record_store_put_sample(struct db *db, const struct record_key *key,
    int64_t extent, const char *config, const char *samples_json);
enum tfops_status record_store_each_sample(struct db *db, const struct record_key *key,
    int64_t extent, void (*fn)(void *user, const char *config, const char *samples_json),
    void *user);
enum tfops_status record_store_drop_samples(
    struct db *db, const struct record_key *key, int64_t extent);

#endif
