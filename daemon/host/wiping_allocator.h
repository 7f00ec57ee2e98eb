/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Allocators for libcurl and OpenSSL that wipe a block before it goes back to malloc: both copy keys and
 * tokens into request buffers, record buffers and big numbers, and neither wipes all of them. What they free
 * is zero; what they still hold is another matter, so nothing that held a secret may outlive its exchange
 * (host/upstream_transfer).
 */

/*
 * Hands the allocators to OpenSSL, then sets up libcurl with them, for the life of the process. Once, before
 * anything has used OpenSSL. 0; -EBUSY when OpenSSL has allocated already; -ENOMEM when libcurl cannot be set
 * up.
 */
int wiping_allocator_install(void);
