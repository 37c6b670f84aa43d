/* weak: calls that do nothing unless libcprof.so is loaded; it is not linked. As strict C99 and C++11 have it. */
#define CPROF_WEAK
#include <cprof/cprof.h>

#include <stdio.h>

int main(void)
{
	/* without the library, the functions are not there */
	int there = cprof_enable != NULL;
	volatile unsigned long x = 1;
	unsigned long i;
	struct cprof_profile *profile;
	cprof_task task;

	if (there) {
		cprof_labels before = cprof_labels_set("weak", "yes", (char *)NULL);

		for (i = 0; i < 300000000ul; i++)
			x = x * 3 + 1;
		cprof_labels_restore(before);
	}
	cprof_alloc(&i, sizeof(i));
	cprof_free(&i);
	profile = cprof_profile_new("weak");
	if ((profile != NULL) != there || cprof_profile_find("weak") != profile ||
	    cprof_profile_add(profile, &i, 0) != (there ? 0 : -38) ||
	    cprof_profile_count(profile) != (there ? 1 : -38) ||
	    cprof_profile_remove(profile, &i) != (there ? 0 : -38))
		return 2;
	task = cprof_task_begin("weak", CPROF_TASK_CURRENT);
	cprof_task_switch(task);
	cprof_region_begin("region");
	cprof_log("category", "%d", there);
	cprof_counter("counter", -1);
	cprof_flow_begin(1, "flow");
	cprof_flow_step(1, "flow");
	cprof_flow_end(1, "flow");
	cprof_attribute("key", "value");
	cprof_region_end();
	cprof_task_end(task);
	if (cprof_trace_snapshot(1) == 0)
		return 1;
	printf("%d\n", there);
	return 0;
}
