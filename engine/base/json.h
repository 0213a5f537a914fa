/*
 * JSON values: the only face of cJSON. Building: every add takes the parent; a node that cannot be
 * allocated is left out.
 */
#ifndef TFOPS_BASE_JSON_H
#define TFOPS_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cJSON;
typedef struct cJSON json; /* a node; the root is freed with json_free() */

json *json_object(void);
json *json_array(void);
void json_free(json *root); /* NULL is fine */
/* Adds to an object; `name` NULL adds to an array. NULL parents are ignored. Not-finite numbers
 * become null. Returns the added child where it is a container. */
json *json_add_object(json *parent, const char *name);
json *json_add_array(json *parent, const char *name);
void json_add_string(json *parent, const char *name, const char *value); /* NULL: null */
void json_add_int(json *parent, const char *name, int64_t value);        /* exact to 2^53 */
void json_add_number(json *parent, const char *name, double value);
void json_add_bool(json *parent, const char *name, bool value);
/* One line, free() it; NULL when memory ran out. */
char *json_print(const json *root);

json *json_parse(const char *text);                         /* NULL when malformed */
const json *json_get(const json *object, const char *name); /* NULL when absent */
const json *json_first(const json *container);
const json *json_next(const json *node);
const char *json_string(const json *node, const char *fallback);
double json_number(const json *node, double fallback);
bool json_bool(const json *node, bool fallback);
/* Whether `text` (may be NULL) is an object whose member `name` is true. */
bool json_text_has(const char *text, const char *name);

#endif
