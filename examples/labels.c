/* labels: who was the time for? */
#include <cprof/cprof.h>
#include <stdio.h>

static unsigned long serve(const char *customer, unsigned long n)
{
	cprof_labels before = cprof_labels_set("customer", customer, NULL);
	volatile unsigned long x = n;

	for (unsigned long i = 0; i < n; i++)
		x = x * 6364136223846793005ul + i;
	cprof_labels_restore(before);
	return x;
}

int main(void)
{
	unsigned long sum = 0;

	for (int i = 0; i < 30; i++)
		sum += serve("gold", 4000000) + serve("free", 2000000);
	printf("%lx\n", sum);
	return 0;
}
