#include "viewer/same_file.h"

#include <stdlib.h>

#define WITHOUT (UINT64_C(1) << 32) /* in a key: an instance, not a name */

uint32_t same_file(struct same_files *s, const struct tables *t, uint32_t file)
{
	const struct table_file *known = file != 0 ? tables_file(t, file) : NULL;
	const struct table_file met = known != NULL ? *known : (struct table_file){.id = file};
	uint64_t key = met.name != 0 ? met.name : WITHOUT | file;
	struct table_file *grown;
	uint32_t at;

	if (file == 0)
		return 0;
	at = map_get(&s->of, key);
	if (at != MAP_NONE)
		return at + 1;
	if ((s->n & (s->n - 1)) == 0) {
		grown = reallocarray(s->list, s->n > 0 ? 2 * (size_t)s->n : 1, sizeof(*grown));
		if (grown == NULL)
			return 0;
		s->list = grown;
	}
	if (map_set(&s->of, key, s->n) < 0)
		return 0;
	s->list[s->n] = met;
	return ++s->n;
}

void same_file_name(const struct same_files *s, const struct tables *t, uint32_t number,
		    struct name *name)
{
	const struct table_file *f = number > 0 && number <= s->n ? &s->list[number - 1] : NULL;

	if (f == NULL)
		return;
	/* one that had no name may have got one since */
	if (f->name == 0)
		name_file(name, t, f->id);
	else
		name_file_as(name, t, f);
}

void same_files_fini(struct same_files *s)
{
	map_fini(&s->of);
	free(s->list);
	*s = (struct same_files){0};
}
