/* SPDX-License-Identifier: MIT */
#include "wire/http.h"

void http_request_done(struct http_request *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->n_headers; i++)
        secret_done(&r->headers[i]);
    secret_done(&r->body);
    *r = (struct http_request){0};
}

void http_answer_done(struct http_answer *a)
{
    if (!a)
        return;
    buffer_done(&a->body);
    *a = (struct http_answer){0};
}
