/* Objects behind driver handles: made zeroed, kept after they were closed, listed. */
#include "fake.h"
#include <stdlib.h>

static struct fake_handle *handles;

void *handle_new(enum fake_kind kind, size_t bytes)
{
    struct fake_handle *handle = calloc(1, bytes);
    if (!handle)
        return NULL;
    handle->kind = kind;
    handle->live = true;
    handle->next = handles;
    handles = handle;
    return handle;
}

bool handle_is(const void *object, enum fake_kind kind)
{
    const struct fake_handle *handle = object;
    return handle && handle->live && handle->kind == kind;
}

struct fake_handle *handle_first(void)
{
    return handles;
}
