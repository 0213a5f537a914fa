/*
 * Generic variants: one kernel per operator with run-time dimensions, loaded when the operator is
 * added, so that a cold key always has something to launch. And the modules of an engine, shared by
 * content.
 */
#ifndef TFOPS_ENGINE_GENERIC_H
#define TFOPS_ENGINE_GENERIC_H

#include "cache/binary_store.h"
#include "operators.h"
#include "plan_state.h"

/* Loads the generic variant of an operator that is not in use yet. A failure is logged and
 * remembered: the operator's cold keys are TFOPS_E_COLD then. */
void generic_load(struct tfops_engine *engine, struct entry *entry);

/* Fills a variant that launches the operator's generic kernel. TFOPS_E_COLD when there is none. */
enum tfops_status generic_variant(struct tfops_engine *engine, const struct tfops_problem *problem,
    int64_t last, struct plan_variant *ret_variant);

/* The function of a binary, loading its module once per engine; NULL on an architecture without a
 * device behind it. */
enum tfops_status module_cache_load(
    struct tfops_engine *engine, const struct binary *binary, CUfunction *ret_function);

#endif
