#include "viewer/resolve.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "output/symbols.h"

#define MODULES_MAX  4096                  /* whose files are opened; programs have some hundred */
#define KEPT_BYTES   (UINT64_C(128) << 20) /* of what was found; beyond as many nothing is */
#define LINES_MAX    64 /* inlined calls at one place; deeper ones lose their outermost */
#define BUILD_ID_MAX 64 /* bytes; 20 is usual */

struct module {
	struct symbols_module *symbols; /* NULL: it cannot be read */
	uint64_t bias;
	struct why why;
};

struct resolver {
	const struct tables *tables;
	uint64_t recorded_ns, bytes;
	struct symbols *symbols; /* made when the first module is */
	struct map modules_of, found_of;
	struct module *modules;
	struct resolver_symbol *found;
	uint32_t modules_n, found_n, found_room;
};

int resolver_create(struct resolver **ret, const struct tables *t, uint64_t recorded_ns)
{
	struct resolver *x = calloc(1, sizeof(*x));

	if (x == NULL)
		return -ENOMEM;
	x->tables = t;
	x->recorded_ns = recorded_ns;
	*ret = x;
	return 0;
}

void resolver_destroy(struct resolver *x)
{
	if (x == NULL)
		return;
	for (uint32_t i = 0; i < x->found_n; i++)
		free((void *)x->found[i].lines);
	free(x->found);
	free(x->modules);
	map_fini(&x->modules_of);
	map_fini(&x->found_of);
	symbols_destroy(x->symbols);
	free(x);
}

/* The bytes of @hex, or -EINVAL. */
static int parse_build_id(const struct table_text *hex, uint8_t ret[BUILD_ID_MAX])
{
	if (hex->length % 2 != 0 || hex->length > 2 * BUILD_ID_MAX)
		return -EINVAL;
	for (uint32_t i = 0; i < hex->length; i++) {
		static const char digits[] = "0123456789abcdef";
		const char *digit = memchr(digits, hex->text[i], 16);

		if (digit == NULL)
			return -EINVAL;
		ret[i / 2] = (uint8_t)(ret[i / 2] << 4 | (digit - digits));
	}
	return (int)(hex->length / 2);
}

static uint64_t ns_of(struct timespec t)
{
	return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

/* Is it surely what was recorded? symbols_module() has compared build ids, where both have one. */
static int refuse_another(const struct resolver *x, struct symbols_module *m, const char *path,
			  bool has_build_id, struct why *why)
{
	struct stat st;

	if (symbols_module_has_build_id(m) != has_build_id) {
		why_set(why, "%s: the file has %s build id, what was recorded has %s", path,
			has_build_id ? "no" : "a", has_build_id ? "one" : "none");
		return -ESTALE;
	}
	if (has_build_id || (stat(path, &st) == 0 && ns_of(st.st_mtim) < x->recorded_ns &&
			     ns_of(st.st_ctim) < x->recorded_ns))
		return 0;
	why_set(why,
		"%s: was changed after the recording began, and without a build id nothing says "
		"that it is the same",
		path);
	return -ESTALE;
}

static int open_module(struct resolver *x, struct module *m, const struct table_module *of)
{
	const struct table_text *path = tables_string(x->tables, of->path),
				*hex = tables_string(x->tables, of->build_id);
	uint8_t build_id[BUILD_ID_MAX] = {0};
	int size;

	if (path == NULL || hex == NULL || path->length >= PATH_MAX ||
	    strlen(path->text) != path->length ||
	    (path->text[0] != '/' && (strcmp(path->text, "[vdso]") != 0 || hex->length == 0))) {
		why_set(&m->why, "%.200s: is the name of no file",
			path != NULL && path->length > 0 ? path->text : "a module without a name");
		return -EINVAL;
	}
	size = parse_build_id(hex, build_id);
	if (size < 0) {
		why_set(&m->why, "%.200s: its build id in the trace is none", path->text);
		return -EINVAL;
	}
	if (x->symbols == NULL && symbols_create(&x->symbols) < 0)
		return -ENOMEM;
	m->symbols = symbols_module(x->symbols, path->text, build_id, (size_t)size, &m->why);
	if (m->symbols != NULL && refuse_another(x, m->symbols, path->text, size > 0, &m->why) < 0)
		m->symbols = NULL;
	return m->symbols != NULL ? 0 : -ENOENT;
}

/* NULL: it cannot be read. */
static const struct module *module_of(struct resolver *x, uint32_t id)
{
	const struct table_module *of = tables_module(x->tables, id);
	uint32_t at = map_get(&x->modules_of, id);
	struct module *m, *modules;

	if (of == NULL)
		return NULL;
	if (at != MAP_NONE)
		return x->modules[at].symbols != NULL ? &x->modules[at] : NULL;
	if (x->modules_n == MODULES_MAX)
		return NULL;
	if (x->modules_n % 64 == 0) {
		modules = realloc(x->modules, (x->modules_n + 64) * sizeof(*modules));
		if (modules == NULL)
			return NULL;
		x->modules = modules;
	}
	m = &x->modules[x->modules_n];
	*m = (struct module){.bias = of->bias};
	if (map_set(&x->modules_of, id, x->modules_n) < 0)
		return NULL;
	x->modules_n++;
	if (open_module(x, m, of) == -ENOMEM)
		why_set(&m->why, "out of memory for symbols");
	return m->symbols != NULL ? m : NULL;
}

static uint32_t line_of(int64_t line)
{
	return line > 0 && line <= UINT32_MAX ? (uint32_t)line : 0;
}

/* Keeps what was found, also that nothing was. */
static struct resolver_symbol keep(struct resolver *x, uint64_t frame,
				   const struct symbols_frame *frames, int n)
{
	struct resolver_line *lines = n > 0 ? malloc((size_t)n * sizeof(*lines)) : NULL;
	uint32_t room = x->found_room == 0 ? 256 : 2 * x->found_room;
	struct resolver_symbol *found;

	if (x->found_n == x->found_room) {
		found = realloc(x->found, room * sizeof(*found));
		if (found == NULL)
			goto fail;
		x->found = found;
		x->found_room = room;
	}
	if ((n > 0 && lines == NULL) || map_set(&x->found_of, frame, x->found_n) < 0)
		goto fail;
	for (int i = 0; i < n; i++)
		lines[i] = (struct resolver_line){
			.function = frames[i].name,
			.system_name = frames[i].system_name,
			.file = frames[i].file,
			.line = line_of(frames[i].line),
			.start_line = line_of(frames[i].start_line),
		};
	x->found[x->found_n] = (struct resolver_symbol){lines, n > 0 ? (uint32_t)n : 0};
	x->bytes += sizeof(*found) + sizeof(struct map_slot) + (size_t)n * sizeof(*lines);
	return x->found[x->found_n++];

fail:
	free(lines);
	return (struct resolver_symbol){0};
}

struct resolver_symbol resolver_find(struct resolver *x, uint64_t frame)
{
	uint32_t id = TRACE_FRAME_MODULE(frame), at = map_get(&x->found_of, frame);
	struct symbols_frame frames[LINES_MAX];
	const struct module *m;
	int n;

	if (at != MAP_NONE)
		return x->found[at];
	if (id == 0 || id == TRACE_FRAME_NAMED || x->bytes > KEPT_BYTES)
		return (struct resolver_symbol){0};
	m = module_of(x, id);
	if (m == NULL)
		return (struct resolver_symbol){0};
	n = symbols_lookup(m->symbols, TRACE_FRAME_ADDRESS(frame) - m->bias, frames, LINES_MAX);
	return keep(x, frame, frames, n);
}

bool resolver_has_lines(struct resolver *x, uint64_t frame)
{
	uint32_t id = TRACE_FRAME_MODULE(frame);
	const struct module *m = id != 0 && id != TRACE_FRAME_NAMED ? module_of(x, id) : NULL;

	return m != NULL && symbols_module_kind(m->symbols).has_lines;
}

void resolver_problems(const struct resolver *x, void (*each)(void *context, const char *why),
		       void *context)
{
	for (uint32_t i = 0; i < x->modules_n; i++)
		if (x->modules[i].why.text[0] != '\0')
			each(context, x->modules[i].why.text);
}
