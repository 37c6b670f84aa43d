#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "flame/flame.h"

/* What is known by a pair of numbers: the same pair has the same number. */
struct pairs {
	struct pair {
		uint64_t a, b;
	} * at;
	uint32_t n, room;
	uint32_t *slots; /* number + 1; 0 is empty. Twice as many as there is room for */
	uint64_t seed;
};

static uint32_t slot_of(const struct pairs *p, uint64_t a, uint64_t b)
{
	uint64_t hash = (a ^ p->seed) * UINT64_C(0x9e3779b97f4a7c15);
	uint32_t mask = p->room * 2 - 1, slot;

	hash = (hash ^ hash >> 32 ^ b) * UINT64_C(0xbf58476d1ce4e5b9);
	slot = (uint32_t)(hash >> 32) & mask;
	while (p->slots[slot] != 0 &&
	       (p->at[p->slots[slot] - 1].a != a || p->at[p->slots[slot] - 1].b != b))
		slot = (slot + 1) & mask;
	return slot;
}

static int grow_pairs(struct pairs *p)
{
	uint32_t room = p->room == 0 ? 256 : p->room * 2;
	struct pair *at = room > FLAME_NODES_MAX * 2 ? NULL : realloc(p->at, room * sizeof(*at));
	uint32_t *slots = NULL;

	if (at != NULL) {
		p->at = at;
		slots = calloc((size_t)room * 2, sizeof(*slots));
	}
	if (slots == NULL)
		return -ENOMEM;
	free(p->slots);
	p->slots = slots;
	p->room = room;
	for (uint32_t i = 0; i < p->n; i++)
		p->slots[slot_of(p, p->at[i].a, p->at[i].b)] = i + 1;
	return 0;
}

/* The number of (@a, @b): in the order of first sight. */
static int find_pair(struct pairs *p, uint64_t a, uint64_t b, uint32_t *ret)
{
	uint32_t slot;

	if (p->n == p->room && grow_pairs(p) < 0)
		return -ENOMEM;
	slot = slot_of(p, a, b);
	if (p->slots[slot] == 0) {
		p->at[p->n] = (struct pair){a, b};
		p->slots[slot] = ++p->n;
	}
	*ret = p->slots[slot] - 1;
	return 0;
}

static void pairs_fini(struct pairs *p)
{
	free(p->at);
	free(p->slots);
}

/* While the tree grows. */
struct growing {
	struct flame *f;
	struct profile *p;
	enum granularity granularity;
	uint32_t *first_line, *frames; /* of line j of location i: frames[first_line[i] + j] */
	struct pairs names;            /* of frames: the text's address */
	struct pairs nodes;            /* parent, frame */
	struct pairs lines;            /* node, line */
	struct pairs ends;             /* node, labels: samples */
	struct pairs labels;           /* a list: the set before, the label */
	struct pairs keys, values;     /* of labels */
	double *on_line;               /* what goes through each of @lines */
	uint32_t on_line_n, on_line_room, frames_room, nodes_room, samples_room, labels_room;
};

/* Room for one more at the end of a list of @n. */
static int make_room(void **list, uint32_t n, uint32_t *room, size_t size)
{
	uint32_t more = *room == 0 ? 256 : *room * 2;
	void *bigger;

	if (n < *room)
		return 0;
	bigger = realloc(*list, more * size);
	if (bigger == NULL)
		return -ENOMEM;
	*list = bigger;
	*room = more;
	return 0;
}

/* ---- frames ---- */

/* Two builds by Bazel of the same file have these before it; as pprof. */
static const char *file_of(struct growing *g, const struct profile_function *f)
{
	static const char *const prefixes[] = {"/proc/self/cwd/./", "/proc/self/cwd/"};
	const char *file = f->file;

	for (unsigned i = 0; i < 2; i++) {
		if (strncmp(file, prefixes[i], strlen(prefixes[i])) == 0) {
			file += strlen(prefixes[i]);
			break;
		}
	}
	return file[0] != '\0' ? path_clean(g->p, file) : "";
}

/* As pprof names what it shows. */
static const char *name_of(struct growing *g, const struct profile_location *l,
			   const struct profile_function *f, const char *file, int64_t number,
			   const char *module)
{
	bool has_name = g->granularity != BY_FILE, has_file = g->granularity != BY_FUNCTION;
	bool has_line = g->granularity == BY_LINE || g->granularity == BY_ADDRESS;
	char address[24] = "", line[24] = "";
	const char *name = f != NULL && has_name ? f->name : "", *result;
	char *text;
	int n;

	if (!has_file)
		file = "";
	if (g->granularity == BY_ADDRESS)
		snprintf(address, sizeof(address), "%016" PRIx64 " ", l->address);
	if (has_line && number != 0)
		snprintf(line, sizeof(line), ":%" PRId64, number);
	if (file[0] != '\0' || line[0] != '\0')
		n = asprintf(&text, "%s%s%s%s%s", address, name, name[0] != '\0' ? " " : "", file,
			     line);
	else if (name[0] != '\0')
		n = asprintf(&text, "%s%s", address, name);
	else if (module[0] != '\0')
		n = asprintf(&text, "%s[%s]", address, path_base(g->p, module));
	else
		n = asprintf(&text, "%s<unknown>", address);
	if (n < 0)
		return "";
	result = profile_string_raw(g->p, text, (size_t)n);
	free(text);
	return result;
}

static int make_frame(struct growing *g, const struct profile_location *l,
		      const struct profile_line *line, uint32_t *ret)
{
	struct flame *f = g->f;
	const struct profile_function *function = NULL;
	const char *file = "", *module = "", *name;
	int r;

	if (line != NULL) {
		function = &g->p->functions[line->function];
		file = file_of(g, function);
	}
	if (l->mapping != PROFILE_NONE)
		module = g->p->mappings[l->mapping].file;
	name = name_of(g, l, function, file, line != NULL ? line->line : 0, module);
	r = find_pair(&g->names, (uintptr_t)name, 0, ret);
	if (r < 0 || *ret < f->frames_n)
		return r;
	r = make_room((void **)&f->frames, f->frames_n, &g->frames_room, sizeof(*f->frames));
	if (r == 0)
		f->frames[f->frames_n++] = (struct flame_frame){
			name, file, module, function != NULL ? function->start_line : 0};
	return r;
}

static int make_frames(struct growing *g)
{
	const struct profile *p = g->p;
	size_t lines_n = 0;
	uint32_t n = 0;
	int r = 0;

	for (uint32_t i = 0; i < p->locations_n; i++)
		lines_n += p->locations[i].lines_n == 0 ? 1 : p->locations[i].lines_n;
	if (lines_n >= UINT32_MAX)
		return -ENOMEM;
	g->first_line = calloc((size_t)p->locations_n + 1, sizeof(*g->first_line));
	g->frames = calloc(lines_n + 1, sizeof(*g->frames));
	if (g->first_line == NULL || g->frames == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->locations_n && r == 0; i++) {
		const struct profile_location *l = &p->locations[i];

		g->first_line[i] = n;
		for (uint32_t j = 0; (j < l->lines_n || j == 0) && r == 0; j++)
			r = make_frame(g, l, l->lines_n > 0 ? &l->lines[j] : NULL, &g->frames[n++]);
	}
	g->first_line[p->locations_n] = n;
	return r;
}

/* ---- nodes ---- */

static int step_to(struct growing *g, uint32_t location, uint32_t j, double weight,
		   uint32_t *ret_node)
{
	struct flame *f = g->f;
	const struct profile_location *l = &g->p->locations[location];
	uint32_t frame = g->frames[g->first_line[location] + j], at;
	int r = find_pair(&g->nodes, *ret_node, frame, &at);

	if (r < 0)
		return r;
	at++; /* the root is no pair */
	if (at == f->nodes_n) {
		if (f->nodes_n == FLAME_NODES_MAX)
			return -EFBIG;
		r = make_room((void **)&f->nodes, f->nodes_n, &g->nodes_room, sizeof(*f->nodes));
		if (r < 0)
			return r;
		f->nodes[f->nodes_n++] = (struct flame_node){.parent = *ret_node,
							     .frame = frame,
							     .depth = f->nodes[*ret_node].depth + 1,
							     .is_inlined = j + 1 < l->lines_n};
	}
	*ret_node = at;
	if (l->lines_n == 0 || l->lines[j].line == 0)
		return 0;
	r = find_pair(&g->lines, *ret_node, (uint64_t)l->lines[j].line, &at);
	if (r == 0 && at == g->on_line_n) {
		r = make_room((void **)&g->on_line, at, &g->on_line_room, sizeof(*g->on_line));
		if (r == 0)
			g->on_line[g->on_line_n++] = 0;
	}
	if (r == 0)
		g->on_line[at] += weight;
	return r;
}

/* The line of each node that has most of the chosen column. */
static int choose_lines(struct growing *g)
{
	double *most = calloc(g->f->nodes_n, sizeof(*most));

	if (most == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < g->on_line_n; i++) {
		struct flame_node *node = &g->f->nodes[g->lines.at[i].a];

		if (node->line != 0 && g->on_line[i] <= most[g->lines.at[i].a])
			continue;
		node->line = (int64_t)g->lines.at[i].b;
		most[g->lines.at[i].a] = g->on_line[i];
	}
	free(most);
	return 0;
}

/* ---- samples ---- */

/* What pprof marks the samples of a base with: they are below zero, which says it. */
static bool marks_base(const struct profile_label *label)
{
	return label->str != NULL && strcmp(label->key, "pprof::base") == 0;
}

static int find_labels(struct growing *g, const struct profile_sample *s, uint32_t *ret)
{
	struct flame *f = g->f;
	struct profile_label *kept;
	uint32_t n = 0, key, value;
	int r;

	*ret = 0;
	for (uint32_t i = 0; i < s->labels_n; i++)
		n += !marks_base(&s->labels[i]);
	if (n == 0)
		return 0;
	kept = profile_alloc(g->p, n * sizeof(*kept));
	if (kept == NULL)
		return -ENOMEM;
	n = 0;
	for (uint32_t i = 0; i < s->labels_n; i++) {
		const struct profile_label *label = &s->labels[i];

		if (marks_base(label))
			continue;
		kept[n++] = *label;
		r = find_pair(&g->keys, (uintptr_t)label->key,
			      label->str != NULL ? 0 : (uintptr_t)label->num_unit, &key);
		if (r == 0)
			r = find_pair(&g->values, (uint64_t)key << 1 | (label->str == NULL),
				      label->str != NULL ? (uintptr_t)label->str
							 : (uint64_t)label->num,
				      &value);
		if (r == 0)
			r = find_pair(&g->labels, *ret, value, ret);
		if (r < 0)
			return r;
		++*ret; /* [0] is none */
		if (*ret < f->labels_n)
			continue;
		r = make_room((void **)&f->labels, f->labels_n, &g->labels_room,
			      sizeof(*f->labels));
		if (r < 0)
			return r;
		f->labels[f->labels_n++] = (struct flame_labels){kept, n};
	}
	return 0;
}

static int64_t add(int64_t a, int64_t b)
{
	int64_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return a < 0 ? INT64_MIN : INT64_MAX;
	return sum;
}

static int end_at(struct growing *g, uint32_t node, uint32_t labels, const int64_t *values)
{
	uint32_t columns = g->p->sample_types_n, at;
	struct flame *f = g->f;
	bool is_base = false;
	int64_t *own;
	int r;

	for (uint32_t i = 0; i < columns; i++)
		is_base |= values[i] < 0;
	f->is_diff |= is_base;
	/* what is before stands beside what is now: their sum would not tell which is how large */
	r = find_pair(&g->ends, (uint64_t)node << 1 | is_base, labels, &at);
	if (r == 0)
		r = make_room((void **)&f->samples, at, &g->samples_room, sizeof(*f->samples));
	if (r < 0)
		return r;
	if (at == f->samples_n) {
		own = profile_alloc(g->p, columns * sizeof(*own));
		if (own == NULL)
			return -ENOMEM;
		f->samples[f->samples_n++] = (struct flame_sample){node, labels, own};
	}
	own = f->samples[at].values;
	for (uint32_t i = 0; i < columns; i++)
		own[i] = add(own[i], values[i]);
	return 0;
}

static int add_sample(struct growing *g, const struct profile_sample *s)
{
	uint32_t node = 0, labels, columns = g->p->sample_types_n, i;
	int64_t weight = s->values[g->f->report->column];
	int r;

	for (i = 0; i < columns && s->values[i] == 0; i++)
		;
	if (i == columns)
		return 0;
	r = find_labels(g, s, &labels);
	for (i = 0; i < s->locations_n && r == 0; i++) {
		uint32_t location = s->locations[g->f->is_inverted ? i : s->locations_n - 1 - i];
		uint32_t n = g->p->locations[location].lines_n;

		n = n > 0 ? n : 1;
		for (uint32_t j = 0; j < n && r == 0; j++)
			r = step_to(g, location, g->f->is_inverted ? j : n - 1 - j,
				    (double)unit_abs(weight), &node);
	}
	return r < 0 ? r : end_at(g, node, labels, s->values);
}

static int compare_samples(const void *left, const void *right)
{
	const struct flame_sample *a = left, *b = right;

	if (a->node != b->node)
		return a->node < b->node ? -1 : 1;
	return a->labels < b->labels ? -1 : a->labels > b->labels;
}

static int grow(struct growing *g, struct why *why)
{
	struct flame *f = g->f;
	int r = make_frames(g);

	if (r == 0)
		r = make_room((void **)&f->nodes, 0, &g->nodes_room, sizeof(*f->nodes));
	if (r == 0)
		r = make_room((void **)&f->labels, 0, &g->labels_room, sizeof(*f->labels));
	if (r < 0)
		return r;
	f->nodes[f->nodes_n++] = (struct flame_node){0};
	f->labels[f->labels_n++] = (struct flame_labels){0};
	for (uint32_t i = 0; i < g->p->samples_n && r == 0; i++)
		r = add_sample(g, &g->p->samples[i]);
	if (r == -EFBIG)
		why_set(why,
			"more than %u boxes: -focus, -ignore, -show_from or -hide leave some out",
			FLAME_NODES_MAX);
	if (r == 0)
		r = choose_lines(g);
	if (r == 0)
		qsort(f->samples, f->samples_n, sizeof(*f->samples), compare_samples);
	return r == 0 ? profile_error(g->p) : r;
}

int flame_init(struct flame *f, struct report *r, enum granularity granularity, bool is_inverted,
	       struct why *why)
{
	struct growing g = {.f = f, .p = &r->profile, .granularity = granularity};
	struct pairs *pairs[] = {&g.names,  &g.nodes, &g.lines, &g.ends,
				 &g.labels, &g.keys,  &g.values};
	uint64_t seed;
	int error;

	*f = (struct flame){.report = r, .is_inverted = is_inverted};
	why_set(why, "out of memory");
	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) < 0)
		seed = (uintptr_t)r->profile.samples;
	for (unsigned i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		pairs[i]->seed = seed;
	error = grow(&g, why);
	for (unsigned i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		pairs_fini(pairs[i]);
	free(g.first_line);
	free(g.frames);
	free(g.on_line);
	if (error < 0)
		flame_fini(f);
	return error;
}

void flame_fini(struct flame *f)
{
	free(f->frames);
	free(f->nodes);
	free(f->samples);
	free(f->labels);
	*f = (struct flame){0};
}
