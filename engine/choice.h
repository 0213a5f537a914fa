/*
 * Choices: from the records of a problem, and its default config, to the config that serves each
 * range of extents. Part of the plan stage, before binaries are looked for. Pure but for the log.
 *
 * A record speaks for extents up to REACH times away; beyond, the default config for that extent is
 * as good a guess, or one for fewer rows that the spec's model finds nearly as good. Between two
 * records the one with the least expected regret serves. The regret of a config at a measured extent
 * is its time over the winner's, less 1; each record holds those of its runner-up and of the default.
 * Between two extents it is interpolated on the logarithm of the extent: the winner at the lower end
 * grows from 0 to what it costs at the upper end, and the other way round, and the border is where
 * they meet. A config that was not measured at the other end is no better there than the runner-up.
 * Where that does not settle it, the nearer record serves.
 *
 * Where the spec has a model, that is asked about the record's config and the default, corrected by what
 * was measured at the record's extent, less with distance: the default serves where it is expected to be
 * faster.
 *
 * Only the winners of records are chosen among: theirs are the binaries that the cache has.
 */
#ifndef TFOPS_ENGINE_CHOICE_H
#define TFOPS_ENGINE_CHOICE_H

#include "cache/record_store.h"
#include <tfops/engine.h>

/* The record next to a chosen one, and what the two were measured to cost at each other's extent. */
struct choice_beside {
    int64_t extent;      /* 0: none */
    double regret_there; /* of the chosen config at that extent; below 0: not measured */
    double regret_here;  /* of that record's config at the chosen one's extent; the same */
};

/* What serves a range of extents. */
struct choice {
    int64_t last;
    const struct tfops_record *record; /* NULL: the default config */
    struct tfops_config config;
    struct choice_beside beside[2]; /* of the record: below and above */
};

enum { CHOICE_MOST = 512 };

struct choices {
    struct choice list[CHOICE_MOST];
    size_t n;
};

/* Leaves out records whose config no longer parses or fits the space, and logs each once. */
void choice_drop_unusable(
    struct tfops_engine *engine, const struct tfops_problem *problem, struct record_list *records);

/* Ascending `last`, the last one INT64_MAX. `records` are usable, by ascending extent, and outlive
 * the choices. */
void choice_make(struct tfops_engine *engine, const struct tfops_problem *problem,
    const struct record_list *records, struct choices *ret_choices);

#endif
