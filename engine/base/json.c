/* JSON through cJSON (see json.h). */
#include "base/json.h"
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

json *json_object(void)
{
    return cJSON_CreateObject();
}

json *json_array(void)
{
    return cJSON_CreateArray();
}

void json_free(json *root)
{
    cJSON_Delete(root);
}

/* Gives the child to the parent or frees it; returns it while it lives. */
static json *adopt(json *parent, const char *name, json *child)
{
    if (!parent || !child) {
        cJSON_Delete(child);
        return NULL;
    }
    cJSON_bool added =
        name ? cJSON_AddItemToObject(parent, name, child) : cJSON_AddItemToArray(parent, child);
    if (!added) {
        cJSON_Delete(child);
        return NULL;
    }
    return child;
}

json *json_add_object(json *parent, const char *name)
{
    return adopt(parent, name, cJSON_CreateObject());
}

json *json_add_array(json *parent, const char *name)
{
    return adopt(parent, name, cJSON_CreateArray());
}

void json_add_string(json *parent, const char *name, const char *value)
{
    adopt(parent, name, value ? cJSON_CreateString(value) : cJSON_CreateNull());
}

/* Beyond 15 digits cJSON prints a number that is only near. */
void json_add_int(json *parent, const char *name, int64_t value)
{
    char digits[24];
    const int64_t least = 1000000000000000;
    snprintf(digits, sizeof digits, "%" PRId64, value);
    adopt(parent, name,
        value > -least && value < least ? cJSON_CreateNumber((double)value)
                                        : cJSON_CreateRaw(digits));
}

void json_add_number(json *parent, const char *name, double value)
{
    adopt(parent, name, isfinite(value) ? cJSON_CreateNumber(value) : cJSON_CreateNull());
}

void json_add_bool(json *parent, const char *name, bool value)
{
    adopt(parent, name, cJSON_CreateBool(value));
}

char *json_print(const json *root)
{
    return root ? cJSON_PrintUnformatted(root) : NULL;
}

json *json_parse(const char *text)
{
    return cJSON_ParseWithOpts(text, NULL, 1);
}

const json *json_get(const json *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

const json *json_first(const json *container)
{
    return container ? container->child : NULL;
}

const json *json_next(const json *node)
{
    return node ? node->next : NULL;
}

const char *json_string(const json *node, const char *fallback)
{
    return cJSON_IsString(node) ? node->valuestring : fallback;
}

double json_number(const json *node, double fallback)
{
    return cJSON_IsNumber(node) ? node->valuedouble : fallback;
}

bool json_bool(const json *node, bool fallback)
{
    return cJSON_IsBool(node) ? cJSON_IsTrue(node) : fallback;
}

bool json_text_has(const char *text, const char *name)
{
    json *root = json_parse(text ? text : "");
    const bool has = json_bool(json_get(root, name), false);
    json_free(root);
    return has;
}
