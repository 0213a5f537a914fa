/*
 * Plans by key: an open-addressing table that readers search without a lock. Writers hold the
 * engine's lock; a grown or replaced piece is retired, not freed, until the table is released,
 * because a reader may still be on it.
 */
#ifndef TFOPS_ENGINE_PLAN_TABLE_H
#define TFOPS_ENGINE_PLAN_TABLE_H

#include "base/env.h"
#include "key.h"
#include <stdatomic.h>
#include <stddef.h>

struct tfops_plan;

struct plan_slots; /* one immutable-size array of slots */

/* Where launches look first: the plan that the last launch of this spec, dtype, width and options
 * found. A hint is checked whole before it is used. */
enum { PLAN_HINTS = 256 };

struct plan_table {
    _Atomic(const struct tfops_plan *) hints[PLAN_HINTS];
    _Atomic(struct plan_slots *) slots;
    struct retired *retired; /* plans and arrays that were replaced */
    atomic_size_t n;         /* keys */
    size_t used;             /* slots that are not empty: keys, and those that were dropped */
};

void plan_table_init(struct plan_table *table);
/* Drops the table's reference to every plan, the replaced ones included. */
void plan_table_release(const struct env *env, struct plan_table *table);
/* The plan of the key, without a new reference; NULL when there is none. */
const struct tfops_plan *plan_table_find(const struct plan_table *table, const struct key *key);
/* Slots there are: for tests. */
size_t plan_table_slots(const struct plan_table *table);
/* Adds or replaces; the table takes over one reference on success. */
enum tfops_status plan_table_put(
    const struct env *env, struct plan_table *table, struct tfops_plan *plan);
/* Makes the key a miss again. The plan stays valid for those who hold it. */
enum tfops_status plan_table_drop(
    const struct env *env, struct plan_table *table, const struct key *key);

#endif
