/* Text for people: one clean line, names suggested for mistyped ones, strict numbers. */
#ifndef TFOPS_TOOLS_CLI_TEXT_H
#define TFOPS_TOOLS_CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Copies, cut at `bytes` between characters, control characters and
 * malformed UTF-8 replaced by '?'. NULL as "". */
void cli_text_copy(char *ret_text, size_t bytes, const char *text);
/* Appends "a", ", b" …; the first that does not fit becomes ", …", and nothing follows it. */
void cli_text_list(char *text, size_t bytes, const char *item);

/* Picks the name nearest to `wrong`: feed candidates, then ask. */
struct cli_guess {
    const char *wrong, *best;
    size_t distance;
};
struct cli_guess cli_guess_start(const char *wrong);
void cli_guess_try(struct cli_guess *guess, const char *candidate);
/* "; did you mean 'x'?" or "". */
void cli_guess_text(const struct cli_guess *guess, char *ret_text, size_t bytes);

/* Whole-string numbers; false when malformed or out of the type's range. */
bool cli_parse_uint(const char *text, uint64_t *ret_value);
bool cli_parse_number(const char *text, double *ret_value); /* finite */

/* Columns a UTF-8 text takes on a terminal (combining and wide characters are not ours). */
size_t cli_text_width(const char *text);

/* "1.2 MiB". */
void cli_text_bytes(char ret_text[32], uint64_t bytes);
/* "12.34" microseconds with as many digits as matter, "-" for 0 or NaN. */
void cli_text_us(char ret_text[32], double nanoseconds);

#endif
