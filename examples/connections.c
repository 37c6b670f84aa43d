/* connections: who opens what nobody closes? */
#include <cprof/cprof.h>
#include <stdio.h>
#include <stdlib.h>

static struct cprof_profile *connections;

struct connection {
	int number;
};

__attribute__((noinline)) static struct connection *connection_open(int number)
{
	struct connection *c = malloc(sizeof(*c));

	if (c == NULL)
		abort();
	c->number = number;
	cprof_profile_add(connections, c, 1); /* where this was called: here are all of them */
	return c;
}

static void connection_close(struct connection *c)
{
	cprof_profile_remove(connections, c); /* before another can have the address */
	free(c);
}

__attribute__((noinline)) static int answer_query(int number)
{
	struct connection *c = connection_open(number);
	int is_found = number % 10 != 0;

	if (!is_found)
		return 0; /* it stays open */
	connection_close(c);
	return 1;
}

__attribute__((noinline)) static int check_health(int number)
{
	struct connection *c = connection_open(number);

	connection_close(c);
	return 1;
}

int main(void)
{
	int answers = 0;

	connections = cprof_profile_new("connections");
	for (int i = 0; i < 1000; i++)
		answers += answer_query(i) + check_health(i);
	printf("%d answers, %d connections are open\n", answers,
	       (int)cprof_profile_count(connections));
	return 0;
}
