#include "output/catalog.h"

#include <stdlib.h>

struct catalog {
	const struct profile_ops *const *profiles;
	const struct profile_ops **list; /* room for all there can be, ended by NULL */
	size_t n;
	struct profile_member *members[SEGMENT_CUSTOMS]; /* of those that are listed */
};

struct catalog *catalog_create(const struct profile_ops *const *profiles)
{
	struct catalog *c = calloc(1, sizeof(*c));
	size_t n = 0;

	while (profiles[n] != NULL)
		n++;
	if (c != NULL)
		c->list = calloc(n + SEGMENT_CUSTOMS + 1, sizeof(*c->list));
	if (c == NULL || c->list == NULL) {
		free(c);
		return NULL;
	}
	c->profiles = profiles;
	for (size_t i = 0; i < n; i++)
		if (profiles[i]->member == NULL)
			c->list[c->n++] = profiles[i];
	return c;
}

void catalog_destroy(struct catalog *c)
{
	if (c == NULL)
		return;
	for (unsigned i = 0; i < SEGMENT_CUSTOMS; i++)
		free(c->members[i]);
	free(c->list);
	free(c);
}

/* A name that somebody has already is not another profile: a segment is what others wrote. */
static void list_members(struct catalog *c, const struct segment *s,
			 const struct profile_ops *family)
{
	struct profile_member *spare = NULL;

	for (unsigned i = 0; i < SEGMENT_CUSTOMS; i++) {
		if (c->members[i] != NULL)
			continue;
		if (spare == NULL)
			spare = calloc(1, sizeof(*spare));
		if (spare == NULL || !family->member(s, i, spare) ||
		    profile_find(c->list, spare->name) != NULL)
			continue;
		c->list[c->n++] = &spare->ops;
		c->members[i] = spare;
		spare = NULL;
	}
	free(spare);
}

const struct profile_ops *const *catalog_list(struct catalog *c, const struct segment *s)
{
	for (const struct profile_ops *const *p = c->profiles; *p != NULL; p++)
		if ((*p)->member != NULL)
			list_members(c, s, *p);
	return c->list;
}
