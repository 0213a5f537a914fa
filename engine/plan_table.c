/* The plan table (see plan_table.h). */
#include "plan_table.h"
#include "base/mem.h"
#include "plan_state.h"
#include <stdint.h>
#include <tfops/plan.h>

enum { FIRST_SLOTS = 64 };

struct plan_slots {
    size_t mask;
    _Atomic(struct tfops_plan *) plans[];
};

struct retired {
    struct retired *next;
    struct plan_slots *slots; /* one of the two */
    struct tfops_plan *plan;
};

/* Stands where a plan was dropped: probes go on past it. */
static struct tfops_plan tombstone;

void plan_table_init(struct plan_table *table)
{
    for (size_t i = 0; i < PLAN_HINTS; i++)
        atomic_init(&table->hints[i], NULL);
    atomic_init(&table->slots, NULL);
    table->retired = NULL;
    table->n = table->used = 0;
}

size_t plan_table_slots(const struct plan_table *table)
{
    const struct plan_slots *slots = atomic_load(&table->slots);
    return slots ? slots->mask + 1 : 0;
}

void plan_table_release(const struct env *env, struct plan_table *table)
{
    struct plan_slots *slots = atomic_load(&table->slots);
    for (size_t i = 0; slots && i <= slots->mask; i++) {
        struct tfops_plan *plan = atomic_load(&slots->plans[i]);
        if (plan != &tombstone)
            tfops_plan_release(plan);
    }
    mem_free(env, slots);
    for (struct retired *retired = table->retired, *next; retired; retired = next) {
        next = retired->next;
        tfops_plan_release(retired->plan);
        mem_free(env, retired->slots);
        mem_free(env, retired);
    }
    plan_table_init(table);
}

const struct tfops_plan *plan_table_find(const struct plan_table *table, const struct key *key)
{
    const struct plan_slots *slots = atomic_load_explicit(&table->slots, memory_order_acquire);
    if (!slots)
        return NULL;
    for (size_t i = key_hash(key);; i++) {
        const struct tfops_plan *plan =
            atomic_load_explicit(&slots->plans[i & slots->mask], memory_order_acquire);
        if (!plan || (plan != &tombstone && key_equal(&plan->key, key)))
            return plan;
    }
}

/* The slot of the key; where it has none, the first that can take it: dropped, else empty. */
static size_t seek(struct plan_slots *slots, const struct key *key, uint64_t hash)
{
    size_t dropped = SIZE_MAX;
    for (size_t i = hash;; i++) {
        struct tfops_plan *plan = atomic_load(&slots->plans[i & slots->mask]);
        if (plan == &tombstone)
            dropped = dropped == SIZE_MAX ? i & slots->mask : dropped;
        else if (!plan)
            return dropped == SIZE_MAX ? i & slots->mask : dropped;
        else if (key_equal(&plan->key, key))
            return i & slots->mask;
    }
}

/* New slots for the keys alone: twice as many unless half of the used ones had been dropped. */
static enum tfops_status grow(const struct env *env, struct plan_table *table)
{
    struct plan_slots *old = atomic_load(&table->slots);
    size_t n = !old ? FIRST_SLOTS : (old->mask + 1) << (2 * table->n >= table->used);
    struct retired *retired = mem_new(env, 1, sizeof *retired);
    struct plan_slots *slots = mem_new(env, 1, sizeof *slots + n * sizeof slots->plans[0]);
    if (!retired || !slots) {
        mem_free(env, retired);
        mem_free(env, slots);
        return TFOPS_E_MEMORY;
    }
    slots->mask = n - 1;
    for (size_t i = 0; old && i <= old->mask; i++) {
        struct tfops_plan *plan = atomic_load(&old->plans[i]);
        if (plan && plan != &tombstone)
            atomic_store(&slots->plans[seek(slots, &plan->key, plan->hash)], plan);
    }
    *retired = (struct retired){table->retired, old, NULL};
    table->retired = retired;
    table->used = table->n;
    atomic_store_explicit(&table->slots, slots, memory_order_release);
    return TFOPS_OK;
}

/* Replaces the plan in a slot; the old one is kept for readers that are on it. */
static enum tfops_status replace(const struct env *env, struct plan_table *table,
    _Atomic(struct tfops_plan *) *slot, struct tfops_plan *plan)
{
    struct retired *retired = mem_new(env, 1, sizeof *retired);
    if (!retired)
        return TFOPS_E_MEMORY;
    *retired = (struct retired){table->retired, NULL, atomic_load(slot)};
    atomic_store(&retired->plan->stale, true);
    table->retired = retired;
    atomic_store_explicit(slot, plan, memory_order_release);
    return TFOPS_OK;
}

enum tfops_status plan_table_put(
    const struct env *env, struct plan_table *table, struct tfops_plan *plan)
{
    struct plan_slots *slots = atomic_load(&table->slots);
    if (!slots || 2 * (table->used + 1) > slots->mask + 1) {
        enum tfops_status status = grow(env, table);
        if (status)
            return status;
        slots = atomic_load(&table->slots);
    }
    size_t i = seek(slots, &plan->key, plan->hash);
    struct tfops_plan *old = atomic_load(&slots->plans[i]);
    if (old && old != &tombstone)
        return replace(env, table, &slots->plans[i], plan);
    atomic_store_explicit(&slots->plans[i], plan, memory_order_release);
    table->n++;
    table->used += !old;
    return TFOPS_OK;
}

enum tfops_status plan_table_drop(
    const struct env *env, struct plan_table *table, const struct key *key)
{
    struct plan_slots *slots = atomic_load(&table->slots);
    if (!slots)
        return TFOPS_OK;
    size_t i = seek(slots, key, key_hash(key));
    struct tfops_plan *old = atomic_load(&slots->plans[i]);
    if (!old || old == &tombstone)
        return TFOPS_OK;
    enum tfops_status status = replace(env, table, &slots->plans[i], &tombstone);
    table->n -= !status;
    return status;
}
