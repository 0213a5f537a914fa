/*
 * Keys: the packed fixed-width key of the in-memory plan map, and the canonical texts that records
 * are stored under. Struct memory is never digested.
 */
#ifndef TFOPS_ENGINE_KEY_H
#define TFOPS_ENGINE_KEY_H

#include "base/env.h"
#include <stdbool.h>
#include <stdint.h>
#include <tfops/spec.h>

/* Everything a plan is specific to but the dynamic extent; nine words, compared whole. */
enum { KEY_WORDS = 9 };
struct key {
    uint64_t words[KEY_WORDS];
};
_Static_assert(TFOPS_MAX_STATIC == 6, "struct key holds six static dimensions");

/* The spec's address names the operator: an engine's specs stay where they are. */
void key_make(const struct tfops_problem *problem, struct key *ret_key);
uint64_t key_hash(const struct key *key);
bool key_equal(const struct key *a, const struct key *b);

/* The static part of a problem as stored in records: "hidden=4096 dtype=f16 … align=16". Holds that
 * of every spec that spec_check() lets through: a text that is cut would be another problem's too. */
enum { KEY_TEXT_BYTES = 2048 };
void key_text(const struct tfops_problem *problem, char ret_text[KEY_TEXT_BYTES]);

/* Index of the spec's dynamic dimension. */
int key_dynamic_dim(const struct tfops_spec *spec);

#endif
