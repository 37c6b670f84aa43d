/*
 * sites: where locks were made. A table that may forget: a lock that finds its place taken takes it.
 */
#pragma once

#include <stdint.h>

#include "core/context.h"

SIGSAFE void sites_put(const void *lock, uintptr_t pc);
SIGSAFE void sites_remove(const void *lock);

/* 0: not known. */
SIGSAFE uintptr_t sites_find(const void *lock);
