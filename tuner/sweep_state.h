/* What the halves of the sweep share: sweep.c (loop, GPU) and sweep_compile.c (binaries). */
#ifndef TFOPS_TUNER_SWEEP_STATE_H
#define TFOPS_TUNER_SWEEP_STATE_H

#include "tune.h"

enum { ELSEWHERE_RETRY_MS = 25 };

struct sweep {
    struct tune *tune;
    uint32_t next;   /* first candidate not begun */
    uint32_t *ready; /* ring of candidates with a binary, for the GPU */
    uint32_t ready_first, ready_n;
    uint32_t compiling, done, elsewhere;
    uint32_t gpu_in_flight;
    int64_t retry_ms;
};

static inline struct candidate *sweep_candidate(struct sweep *sweep, uint32_t index)
{
    return &sweep->tune->candidates.list[index];
}

/* sweep.c. The candidate is through with the sweep. The default's failure ends the run: nothing could
 * win. */
enum tfops_status sweep_settle(struct sweep *sweep, struct candidate *candidate);
/* Far behind at the first look: it cannot win, its module need not stay. */
void sweep_look(struct sweep *sweep, struct candidate *candidate);

/* sweep_compile.c: gives the compilers work while there is room for it. */
enum tfops_status sweep_feed_compilers(struct sweep *sweep);
/* The event of a compile. */
enum tfops_status sweep_take_compiled(struct sweep *sweep, struct worker_event *event);
void sweep_release_claim(struct sweep *sweep, struct candidate *candidate);

#endif
