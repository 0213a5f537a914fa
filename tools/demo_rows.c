/* Rows of RMSNorm on the host (see demo_rows.h). */
#include "demo_rows.h"
#include "cli.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static float from_bf16(uint16_t bits)
{
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

/* Round to nearest even; the demo has no NaN. */
static uint16_t to_bf16(float value)
{
    uint32_t wide;
    memcpy(&wide, &value, sizeof wide);
    return (uint16_t)((wide + 0x7fff + (wide >> 16 & 1)) >> 16);
}

/* y = x / sqrt(mean(x²) + eps) · w, written once more here: the library must not judge itself. */
static void formula(const uint16_t *x, const uint16_t *w, int64_t hidden, double *ret_y)
{
    double squares = 0;
    for (int64_t i = 0; i < hidden; i++)
        squares += (double)from_bf16(x[i]) * from_bf16(x[i]);
    double scale = 1 / sqrt(squares / (double)hidden + DEMO_EPS);
    for (int64_t i = 0; i < hidden; i++)
        ret_y[i] = from_bf16(x[i]) * scale * from_bf16(w[i]);
}

/* Numbers in (-2, 2), the same in every run. */
static void fill(uint16_t *values, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        values[i] = to_bf16((float)(int32_t)(seed >> 32) * 0x1p-30f);
    }
}

bool demo_rows_error(const struct demo_rows *data, double *ret_error)
{
    const int64_t hidden = data->hidden;
    double *expected = cli_new((size_t)hidden, sizeof *expected);
    double wrong = 0, size = 0;
    for (int64_t r = 0; expected && r < data->rows; r++) {
        formula(data->x + r * hidden, data->w, hidden, expected);
        for (int64_t i = 0; i < hidden; i++) {
            double difference = from_bf16(data->y[r * hidden + i]) - expected[i];
            wrong += difference * difference;
            size += expected[i] * expected[i];
        }
    }
    *ret_error = sqrt(wrong / size);
    bool good = expected;
    free(expected);
    return good;
}

bool demo_rows_make(struct demo_rows *data, int64_t rows, int64_t hidden)
{
    size_t n = (size_t)(rows * hidden);
    *data = (struct demo_rows){.rows = rows, .hidden = hidden};
    data->x = cli_new(n, sizeof *data->x);
    data->w = cli_new((size_t)hidden, sizeof *data->w);
    data->y = cli_new(n, sizeof *data->y);
    if (!data->x || !data->w || !data->y)
        return false;
    fill(data->x, n, 1);
    fill(data->w, (size_t)hidden, 2);
    return true;
}

void demo_rows_free(struct demo_rows *data)
{
    free(data->x);
    free(data->w);
    free(data->y);
}
