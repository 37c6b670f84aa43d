/*
 * writing: a host's own output, by libcprof-output.so, which is opened when it is first needed and never before.
 */
#pragma once

#include "core/option.h"
#include "core/segment.h"
#include "endpoint/functions.h"
#include "output/output.h"

/* NULL when the library cannot be opened or is of another version; @why says so. Normal context. */
const struct output_functions *writing_functions(struct why *why);

/* The same of what it has of endpoint/. */
const struct endpoint_functions *writing_endpoint(struct why *why);

/* Files in the directory that @options' out= names. Errors are logged and returned. */
int writing_files(const struct segment *s, const struct option_set *options);
