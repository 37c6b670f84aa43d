/*
 * symbols_debuginfod: debugging information by build id from the servers that DEBUGINFOD_URLS names, through elfutils' client, which
 * keeps what it got in its own cache. Off unless asked for: it talks to the network, and takes its time.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Where the client has put the file of @build_id, from malloc; NULL: there is none, or nobody has asked for it. */
char *debuginfod_find(const uint8_t *build_id, size_t build_id_size);
