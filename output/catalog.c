#include "output/catalog.h"

#include <stdlib.h>

struct catalog {
	const struct profile_ops *const *profiles;
	const struct profile_ops **list; /* room for all there can be, ended by NULL */
	size_t n;
	struct profile_member members[SEGMENT_CUSTOMS];
	bool is_listed[SEGMENT_CUSTOMS];
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
	if (c != NULL)
		free(c->list);
	free(c);
}

/* A name that somebody has already is not another profile: a segment is what others wrote. */
static void list_members(struct catalog *c, const struct segment *s,
			 const struct profile_ops *family)
{
	for (unsigned i = 0; i < SEGMENT_CUSTOMS; i++) {
		struct profile_member *m = &c->members[i];

		if (c->is_listed[i] || !family->member(s, i, m) ||
		    profile_find(c->list, m->name) != NULL)
			continue;
		c->is_listed[i] = true;
		c->list[c->n++] = &m->ops;
	}
}

const struct profile_ops *const *catalog_list(struct catalog *c, const struct segment *s)
{
	for (const struct profile_ops *const *p = c->profiles; *p != NULL; p++)
		if ((*p)->member != NULL)
			list_members(c, s, *p);
	return c->list;
}
