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

	if (there) {
		cprof_labels before = cprof_labels_set("weak", "yes", (char *)NULL);

		for (i = 0; i < 300000000ul; i++)
			x = x * 3 + 1;
		cprof_labels_restore(before);
	}
	cprof_alloc(&i, sizeof(i));
	cprof_free(&i);
	printf("%d\n", there);
	return 0;
}
