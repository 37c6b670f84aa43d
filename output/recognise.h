/*
 * recognise: what a file is that is no profile.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/why.h"

/* Replaces @why by a better sentence. @fields_n: how far it did read as a profile. */
void recognise(const uint8_t *bytes, size_t size, uint64_t fields_n, struct why *why);
