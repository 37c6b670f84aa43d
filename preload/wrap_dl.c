/*
 * dlclose() takes files away under our feet: no walk may read their tables meanwhile.
 *
 * There is no wrapper of dlopen(). The loader takes the caller from the return address, for its search path (DT_RUNPATH,
 * $ORIGIN) and its namespace, so a call through us could find another file or none. A new file is found when the first
 * sample falls into it (modules_discover).
 */
#include <errno.h>

#include "core/modules.h"
#include "cprof/cprof.h"
#include "preload/process.h"
#include "preload/real.h"
#include "preload/rebind.h"

CPROF_PUBLIC int dlclose(void *handle)
{
	struct segment *s = segment_live();
	int r, saved;

	if (!process_is_ours(s))
		return real.dlclose(handle);
	modules_before_close(s);
	r = real.dlclose(handle);
	saved = errno;
	modules_after_close(s);
	rebind_again();
	errno = saved;
	return r;
}
