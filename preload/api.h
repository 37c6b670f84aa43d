/*
 * api: what the public functions ask of the rest of the library.
 */
#pragma once

/* In a child of fork: the parent's windows are not the child's. */
void api_forked(void);
