/* What each library of walk_places exports: calls whose every instruction is looked at. */
#pragma once

struct walk_place {
	const char *name; /* NULL: the end */
	void (*run)(void *);
};

#ifdef __cplusplus
extern "C"
#else
extern
#endif
	const struct walk_place walk_places[];
