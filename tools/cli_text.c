/* Text for people (see cli_text.h). */
#include "cli_text.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GUESS_MAX 48 /* longer names are not guessed at */

static bool continues(char byte)
{
    return ((unsigned char)byte & 0xc0) == 0x80;
}

/* Bytes of the well-formed UTF-8 character at `text`; 0 when there is none (overlong forms and
 * surrogates included: a JSON reader would refuse them). */
static size_t character(const char *text)
{
    unsigned char lead = (unsigned char)text[0], next = (unsigned char)text[1];
    size_t bytes = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (lead > 0xf4 || (lead == 0xe0 && next < 0xa0) || (lead == 0xed && next > 0x9f) ||
        (lead == 0xf0 && next < 0x90) || (lead == 0xf4 && next > 0x8f))
        return 0;
    for (size_t i = 1; i < bytes; i++)
        if (!continues(text[i]))
            return 0; /* also at the terminator: nothing behind it is read */
    return bytes;
}

void cli_text_copy(char *ret_text, size_t bytes, const char *text)
{
    size_t n = 0;
    while (text && *text) {
        size_t width = character(text);
        bool clean = width > 1 || (width == 1 && (unsigned char)*text >= 0x20 && *text != 0x7f);
        size_t take = clean ? width : 1;
        if (n + take >= bytes)
            break;
        if (clean)
            memcpy(ret_text + n, text, take);
        else
            ret_text[n] = '?';
        n += take;
        text += take;
    }
    ret_text[n] = 0;
}

void cli_text_list(char *text, size_t bytes, const char *item)
{
    static const char MORE[] = "…";
    const char *comma = text[0] ? ", " : "";
    size_t used = strlen(text), more = strlen(MORE);
    if (used >= more && strcmp(text + used - more, MORE) == 0)
        return;
    /* Behind each item there is room for the mark. */
    bool fits = used + strlen(comma) + strlen(item) + strlen(", ") + more < bytes;
    snprintf(text + used, bytes - used, "%s%s", comma, fits ? item : MORE);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Optimal string alignment: insert, delete, replace, swap neighbours. */
static size_t distance(const char *a, const char *b)
{
    size_t rows[3][GUESS_MAX + 1];
    size_t n = strlen(a), m = strlen(b);
    if (n > GUESS_MAX || m > GUESS_MAX)
        return SIZE_MAX;
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= m; j++)
        above[j] = j;
    for (size_t i = 1; i <= n; i++) {
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            row[j] = least(above[j], row[j - 1]) + 1;
            row[j] = least(row[j], above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], before[j - 2] + 1);
        }
        size_t *spare = before;
        before = above;
        above = row;
        row = spare;
    }
    return above[m];
}

struct cli_guess cli_guess_start(const char *wrong)
{
    return (struct cli_guess){.wrong = wrong, .distance = 1 + (strlen(wrong) + 2) / 3};
}

void cli_guess_try(struct cli_guess *guess, const char *candidate)
{
    size_t found = distance(guess->wrong, candidate);
    if (found < guess->distance) {
        guess->distance = found;
        guess->best = candidate;
    }
}

void cli_guess_text(const struct cli_guess *guess, char *ret_text, size_t bytes)
{
    ret_text[0] = 0;
    if (guess->best)
        snprintf(ret_text, bytes, "; did you mean '%s'?", guess->best);
}

bool cli_parse_uint(const char *text, uint64_t *ret_value)
{
    if (*text < '0' || *text > '9')
        return false;
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno || *end)
        return false;
    *ret_value = value;
    return true;
}

bool cli_parse_number(const char *text, double *ret_value)
{
    if ((*text < '0' || *text > '9') && *text != '.')
        return false;
    char *end;
    double value = strtod(text, &end);
    if (*end || !isfinite(value))
        return false;
    *ret_value = value;
    return true;
}

size_t cli_text_width(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += !continues(*text);
    return width;
}

void cli_text_bytes(char ret_text[32], uint64_t bytes)
{
    static const char *const UNITS[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 1024 && unit + 1 < sizeof UNITS / sizeof *UNITS; unit++)
        value /= 1024;
    snprintf(ret_text, 32, unit ? "%.1f %s" : "%.0f %s", value, UNITS[unit]);
}

void cli_text_us(char ret_text[32], double nanoseconds)
{
    double us = nanoseconds / 1000;
    if (!(us > 0))
        snprintf(ret_text, 32, "-");
    else
        snprintf(ret_text, 32, "%.*f", us < 10 ? 3 : us < 100 ? 2 : 1, us);
}
