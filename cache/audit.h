/*
 * Whole-file questions about a cache: what is in it, whether all of it is sound, and pruning. For
 * the tools; an engine checks the rows it uses when it uses them.
 */
#ifndef TFOPS_CACHE_AUDIT_H
#define TFOPS_CACHE_AUDIT_H

#include "base/strbuf.h"
#include <stdbool.h>
#include <stdint.h>
#include <tfops/cache.h>

struct db;

/* Fills all but `size` and `bad`. */
enum tfops_status audit_totals(struct db *db, struct tfops_cache_totals *ret_totals);

/* Checks pages, row digests, image digests, and that what a row names is there. Appends one line,
 * with newline, for each thing that is not sound. */
enum tfops_status audit_verify(struct db *db, struct strbuf *lines, uint64_t *ret_bad);

struct audit_prune {
    const char *op, *sku; /* NULL: any */
    const char *until;    /* date: that old or older; NULL: any */
    bool records, dry_run;
};
/* See tfops_cache_prune(). One transaction; a dry run rolls it back. */
enum tfops_status audit_prune(
    struct db *db, const struct audit_prune *prune, uint64_t *ret_records, uint64_t *ret_binaries);

#endif
