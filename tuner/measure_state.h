/* What a race of lanes (measure_race.c) takes from the meter (measure.c). */
#ifndef TFOPS_TUNER_MEASURE_STATE_H
#define TFOPS_TUNER_MEASURE_STATE_H

#include "measure.h"

enum tfops_status meter_make_events(const struct gpu *gpu, CUevent *events, uint32_t n);
void meter_destroy_events(const struct gpu *gpu, CUevent *events, uint32_t n);
enum tfops_status meter_record(const struct gpu *gpu, CUevent event);
/* Between a recorded pair that the stream has passed. */
enum tfops_status meter_elapsed(const struct gpu *gpu, const CUevent *pair, double *ret_ns);

/* Enqueues what empties L2; nothing where the meter has no buffer for it. */
enum tfops_status meter_flush(const struct meter *meter);
/* Remembers contaminated rounds too: a clock that stays elsewhere becomes the new normal. */
void meter_remember_clock(struct meter *meter, const struct nvml_sample *sample);

#endif
