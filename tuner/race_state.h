/* What the race (race.c) and the confirmation of its winner (race_confirm.c) share. */
#ifndef TFOPS_TUNER_RACE_STATE_H
#define TFOPS_TUNER_RACE_STATE_H

#include "tune.h"

enum {
    ROUND_MAX_SAMPLES = 48,
    RACE_MAX_SAMPLES = 288, /* per candidate */
};

/* race.c. All NaN for a candidate without samples. */
struct estimate race_estimate(const struct tune *tune, const struct candidate *candidate);
/* Behind a round that all of `indices` began, with `before` samples: beaten is who has gained fewer than
 * others. */
void race_note_beaten(
    struct tune *tune, const uint32_t *indices, const uint32_t *before, uint32_t n);
/* Winner and runner-up among everyone measured, or of the race who is not beaten; race and sweep samples are
 * never mixed. */
enum tfops_status race_pick(struct tune *tune, bool race_only);

/* race_confirm.c. The result's samples are those that winner and default have now. */
enum tfops_status race_keep_result(struct tune *tune);
/* The winner stands when fresh samples at several places say so too; else the default does. */
enum tfops_status race_confirm(struct tune *tune);

#endif
