/* SPDX-License-Identifier: MIT */
#include "host/response.h"

#include <stdlib.h>

struct body {
    char *data;
    size_t capacity;
    bool is_secret;
};

static void body_free(void *userdata)
{
    struct body *b = userdata;
    buffer_free_block(b->data, b->capacity, b->is_secret);
    free(b);
}

static bool response_add_header(struct MHD_Response *r, const char *name, const char *value)
{
    return !value || MHD_add_response_header(r, name, value) == MHD_YES;
}

struct response *response_new(unsigned status, const char *content_type, struct buffer *body_take,
                              const struct response_header *headers, size_t n_headers)
{
    _cleanup_free_ struct response *r = calloc(1, sizeof(*r));
    _cleanup_free_ struct body *body = calloc(1, sizeof(*body));

    if (!r || !body || buffer_error(body_take) < 0) {
        buffer_done(body_take);
        return NULL;
    }
    *body = (struct body){
        .data = body_take->data, .capacity = body_take->capacity, .is_secret = body_take->is_secret};
    *r = (struct response){.n_references = 1, .status = status};
    size_t size = body_take->size;
    *body_take = (struct buffer){.max = body_take->max, .is_secret = body_take->is_secret};

    r->mhd = MHD_create_response_from_buffer_with_free_callback_cls(size, body->data, body_free, body);
    if (!r->mhd) {
        body_free(TAKE_PTR(body));
        return NULL;
    }
    (void) TAKE_PTR(body);
    bool is_whole = response_add_header(r->mhd, "Content-Type", content_type) &&
                    response_add_header(r->mhd, "Cache-Control", "no-store");
    for (size_t i = 0; i < n_headers; i++)
        is_whole = is_whole && response_add_header(r->mhd, headers[i].name, headers[i].value);
    if (!is_whole) {
        MHD_destroy_response(r->mhd);
        return NULL;
    }
    return TAKE_PTR(r);
}

struct response *response_ref(struct response *r)
{
    r->n_references++;
    return r;
}

struct response *response_unref(struct response *r)
{
    if (!r || --r->n_references > 0)
        return NULL;
    MHD_destroy_response(r->mhd);
    free(r);
    return NULL;
}

unsigned response_status(const struct response *r)
{
    return r->status;
}
