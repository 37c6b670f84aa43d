/* handler: answers one question of /debug/pprof/ after the other, from standard input to standard output: no server at all. */
#include <cprof/cprof.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *work(void *unused)
{
	volatile unsigned long x = 1;

	(void)unused;
	for (;;)
		x = x * 6364136223846793005ul + 1;
	return NULL;
}

static int begin(void *user, int status, const char *const *headers)
{
	fprintf(user, "%d\n", status);
	for (; headers[0] != NULL; headers += 2)
		fprintf(user, "%s: %s\n", headers[0], headers[1]);
	return fputc('\n', user) == EOF ? -1 : 0;
}

static int put(void *user, const void *bytes, size_t size)
{
	return fwrite(bytes, 1, size, user) == size ? 0 : -1;
}

int main(void)
{
	struct cprof_writer writer = {stdout, begin, put};
	char line[512], *query;
	pthread_t thread;
	int r = 0;

	if (pthread_create(&thread, NULL, work, NULL) != 0)
		return 1;
	while (r == 0 && fgets(line, sizeof(line), stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		query = strchr(line, '?');
		if (query != NULL)
			*query++ = '\0';
		r = cprof_handle("GET", line, query, NULL, 0, &writer);
		fflush(stdout);
	}
	return r < 0;
}
