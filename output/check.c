#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "output/check.h"

/* Pyroscope's limits as it ships; pkg/validation/limits.go there. */
#define PYROSCOPE_BYTES_MAX   ((size_t)4 << 20)
#define PYROSCOPE_SAMPLES_MAX 16000
#define PYROSCOPE_LABELS_MAX  100
#define PYROSCOPE_DEPTH_MAX   1000
#define PYROSCOPE_STRING_MAX  65535
#define PYROSCOPE_PAST_NS     (3600 * INT64_C(1000000000))
#define PYROSCOPE_FUTURE_NS   (600 * INT64_C(1000000000))

/* How often a rule is broken, and where first. */
struct tally {
	uint64_t n;
	uint32_t first;
};

static void count(struct tally *tally, uint32_t where)
{
	if (tally->n++ == 0)
		tally->first = where;
}

struct id_order {
	uint64_t id;
	uint32_t index;
};

static int compare_ids(const void *left, const void *right)
{
	const struct id_order *a = left, *b = right;

	if (a->id != b->id)
		return a->id < b->id ? -1 : 1;
	return a->index < b->index ? -1 : a->index > b->index;
}

/*
 * The entries of a table whose id an earlier entry has. Writers number 1, 2, 3 …: only other tables
 * are sorted. Returns 0 or -ENOMEM.
 */
static int count_doubles(const uint64_t *ids, uint32_t n, struct tally *doubles)
{
	struct id_order *order;
	uint32_t i;

	for (i = 1; i < n && ids[i] > ids[i - 1]; i++)
		;
	if (i >= n)
		return 0;
	order = malloc(n * sizeof(*order));
	if (order == NULL)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		order[i] = (struct id_order){ids[i], i};
	qsort(order, n, sizeof(*order), compare_ids);
	doubles->first = PROFILE_NONE;
	for (i = 1; i < n; i++) {
		if (order[i].id != order[i - 1].id)
			continue;
		doubles->n++;
		if (order[i].index < doubles->first)
			doubles->first = order[i].index;
	}
	free(order);
	return 0;
}

/* What CheckValid looks at. */
struct validity {
	struct tally wrong_values, nil_locations, nil_functions;
	struct tally zero_mappings, zero_functions, zero_locations;
	struct tally double_mappings, double_functions, double_locations;
};

static void count_zeros(const uint64_t *ids, uint32_t n, struct tally *zeros)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		if (ids[i] == 0)
			count(zeros, i);
}

static int look(const struct profile *p, const struct pprof_wire *wire, struct validity *v)
{
	uint32_t i, j;
	int r = 0;

	memset(v, 0, sizeof(*v));
	for (i = 0; i < p->samples_n; i++) {
		if (wire != NULL && wire->values_n[i] != p->sample_types_n)
			count(&v->wrong_values, i);
		for (j = 0; j < p->samples[i].locations_n; j++) {
			if (p->samples[i].locations[j] >= p->locations_n) {
				count(&v->nil_locations, i);
				break;
			}
		}
	}
	for (i = 0; i < p->locations_n; i++) {
		for (j = 0; j < p->locations[i].lines_n; j++) {
			if (p->locations[i].lines[j].function >= p->functions_n) {
				count(&v->nil_functions, i);
				break;
			}
		}
	}
	if (wire == NULL)
		return 0;
	count_zeros(wire->mapping_ids, p->mappings_n, &v->zero_mappings);
	count_zeros(wire->function_ids, p->functions_n, &v->zero_functions);
	count_zeros(wire->location_ids, p->locations_n, &v->zero_locations);
	r = count_doubles(wire->mapping_ids, p->mappings_n, &v->double_mappings);
	if (r == 0)
		r = count_doubles(wire->function_ids, p->functions_n, &v->double_functions);
	if (r == 0)
		r = count_doubles(wire->location_ids, p->locations_n, &v->double_locations);
	return r;
}

static uint64_t id_of_location(const struct pprof_wire *wire, uint32_t index)
{
	return wire == NULL ? (uint64_t)index + 1 : wire->location_ids[index];
}

int check_valid(const struct profile *p, const struct pprof_wire *wire, struct why *why)
{
	struct validity v;
	uint64_t id;

	if (look(p, wire, &v) < 0) {
		why_set(why, "out of memory");
		return -ENOMEM;
	}
	if (p->sample_types_n == 0 && p->samples_n != 0) {
		why_set(why, "missing sample type information");
	} else if (v.wrong_values.n != 0 &&
		   (v.nil_locations.n == 0 || v.wrong_values.first <= v.nil_locations.first)) {
		why_set(why, "mismatch: sample has %u values vs. %u types",
			wire->values_n[v.wrong_values.first], p->sample_types_n);
	} else if (v.nil_locations.n != 0) {
		why_set(why, "sample has nil location");
	} else if (v.zero_mappings.n != 0) {
		why_set(why, "found mapping with reserved ID=0");
	} else if (v.double_mappings.n != 0) {
		why_set(why, "multiple mappings with same id: %" PRIu64,
			wire->mapping_ids[v.double_mappings.first]);
	} else if (v.zero_functions.n != 0) {
		why_set(why, "found function with reserved ID=0");
	} else if (v.double_functions.n != 0) {
		why_set(why, "multiple functions with same id: %" PRIu64,
			wire->function_ids[v.double_functions.first]);
	} else if (v.zero_locations.n != 0) {
		why_set(why, "found location with reserved id=0");
	} else if (v.double_locations.n != 0) {
		why_set(why, "multiple locations with same id: %" PRIu64,
			wire->location_ids[v.double_locations.first]);
	} else if (v.nil_functions.n != 0) {
		id = id_of_location(wire, v.nil_functions.first);
		why_set(why, "location id: %" PRIu64 " has a line with nil function", id);
	} else {
		return 0;
	}
	return -EBADMSG;
}

/* All rules */

struct reporter {
	check_report *report;
	void *context;
	int errors_n;
};

__attribute__((format(printf, 4, 5))) static void found(struct reporter *to, const char *who,
							bool is_warning, const char *format, ...)
{
	struct check_finding finding = {.who = who, .is_warning = is_warning};
	va_list args;

	va_start(args, format);
	vsnprintf(finding.text, sizeof(finding.text), format, args);
	va_end(args);
	to->errors_n += !is_warning;
	to->report(to->context, &finding);
}

static const char *and_more(uint64_t n)
{
	static _Thread_local char text[64];

	if (n <= 1)
		return "";
	snprintf(text, sizeof(text), ", and %" PRIu64 " more", n - 1);
	return text;
}

static void check_pprof(const struct profile *p, const struct pprof_wire *wire,
			const struct validity *v, struct reporter *to)
{
	if (p->sample_types_n == 0 && p->samples_n != 0)
		found(to, "pprof", false,
		      "missing sample type information: %u samples and no sample type",
		      p->samples_n);
	if (v->wrong_values.n != 0)
		found(to, "pprof", false,
		      "mismatch: sample has %u values vs. %u types (sample %u%s)",
		      wire->values_n[v->wrong_values.first], p->sample_types_n,
		      v->wrong_values.first + 1, and_more(v->wrong_values.n));
	if (v->nil_locations.n != 0)
		found(to, "pprof", false,
		      "sample has nil location: an id that no location has (sample %u%s)",
		      v->nil_locations.first + 1, and_more(v->nil_locations.n));
	if (v->zero_mappings.n != 0)
		found(to, "pprof", false,
		      "found mapping with reserved ID=0 (mapping %u in the table%s)",
		      v->zero_mappings.first + 1, and_more(v->zero_mappings.n));
	if (v->double_mappings.n != 0)
		found(to, "pprof", false, "multiple mappings with same id: %" PRIu64 "%s",
		      wire->mapping_ids[v->double_mappings.first], and_more(v->double_mappings.n));
	if (v->zero_functions.n != 0)
		found(to, "pprof", false,
		      "found function with reserved ID=0 (function %u in the table%s)",
		      v->zero_functions.first + 1, and_more(v->zero_functions.n));
	if (v->double_functions.n != 0)
		found(to, "pprof", false, "multiple functions with same id: %" PRIu64 "%s",
		      wire->function_ids[v->double_functions.first],
		      and_more(v->double_functions.n));
	if (v->zero_locations.n != 0)
		found(to, "pprof", false,
		      "found location with reserved id=0 (location %u in the table%s)",
		      v->zero_locations.first + 1, and_more(v->zero_locations.n));
	if (v->double_locations.n != 0)
		found(to, "pprof", false, "multiple locations with same id: %" PRIu64 "%s",
		      wire->location_ids[v->double_locations.first],
		      and_more(v->double_locations.n));
	if (v->nil_functions.n != 0)
		found(to, "pprof", false, "location id: %" PRIu64 " has a line with nil function%s",
		      id_of_location(wire, v->nil_functions.first), and_more(v->nil_functions.n));
}

static void check_ids(const uint64_t *ids, uint32_t n, const char *what, struct reporter *to)
{
	uint32_t i;

	for (i = 0; i < n && ids[i] == (uint64_t)i + 1; i++)
		;
	if (i < n)
		found(to, "parca", false,
		      "%s ids must be 1 to %u in table order: entry %u has id %" PRIu64, what, n,
		      i + 1, ids[i]);
}

static void check_parca(const struct profile *p, const struct pprof_wire *wire, struct reporter *to)
{
	struct tally no_key = {0};
	uint32_t i, j;

	if (wire != NULL) {
		check_ids(wire->mapping_ids, p->mappings_n, "mapping", to);
		check_ids(wire->function_ids, p->functions_n, "function", to);
		check_ids(wire->location_ids, p->locations_n, "location", to);
	}
	for (i = 0; i < p->samples_n; i++)
		for (j = 0; j < p->samples[i].labels_n; j++)
			if (p->samples[i].labels[j].key == NULL ||
			    p->samples[i].labels[j].key[0] == '\0')
				count(&no_key, i);
	if (no_key.n != 0)
		found(to, "parca", false, "a label without a key (sample %u%s)", no_key.first + 1,
		      and_more(no_key.n));
}

static bool is_long(const char *text)
{
	return text != NULL && strlen(text) > PYROSCOPE_STRING_MAX;
}

static void check_lengths(const struct profile *p, struct reporter *to)
{
	struct tally functions = {0}, mappings = {0}, labels = {0};
	uint32_t i, j;

	for (i = 0; i < p->functions_n; i++)
		if (is_long(p->functions[i].name) || is_long(p->functions[i].system_name) ||
		    is_long(p->functions[i].file))
			count(&functions, i);
	for (i = 0; i < p->mappings_n; i++)
		if (is_long(p->mappings[i].file) || is_long(p->mappings[i].build_id))
			count(&mappings, i);
	for (i = 0; i < p->samples_n; i++)
		for (j = 0; j < p->samples[i].labels_n; j++)
			if (is_long(p->samples[i].labels[j].key) ||
			    is_long(p->samples[i].labels[j].str))
				count(&labels, i);
	if (functions.n != 0)
		found(to, "pyroscope", true,
		      "a function name of more than %d bytes would be cut (function %u%s)",
		      PYROSCOPE_STRING_MAX, functions.first + 1, and_more(functions.n));
	if (mappings.n != 0)
		found(to, "pyroscope", true,
		      "a file name of more than %d bytes would be cut (mapping %u%s)",
		      PYROSCOPE_STRING_MAX, mappings.first + 1, and_more(mappings.n));
	if (labels.n != 0)
		found(to, "pyroscope", true,
		      "a label of more than %d bytes would be cut (sample %u%s)",
		      PYROSCOPE_STRING_MAX, labels.first + 1, and_more(labels.n));
}

static void check_pyroscope(const struct profile *p, const struct pprof_wire *wire, int64_t now_ns,
			    struct reporter *to)
{
	struct tally many_labels = {0}, deep = {0};
	uint32_t i;

	if (wire != NULL && wire->bad_utf8_n != 0)
		found(to, "pyroscope", false, "%" PRIu64 " strings are not UTF-8",
		      wire->bad_utf8_n);
	for (i = 0; i < p->sample_types_n; i++)
		if (strchr(p->sample_types[i].type, '-') != NULL)
			found(to, "pyroscope", false, "sample type '%.80s' has a '-'; use '_'",
			      p->sample_types[i].type);
	if (p->time_ns != 0 &&
	    (p->time_ns < now_ns - PYROSCOPE_PAST_NS || p->time_ns > now_ns + PYROSCOPE_FUTURE_NS))
		found(to, "pyroscope", true,
		      "taken more than 1 hour ago or 10 minutes ahead; sent now it would "
		      "be refused");
	if (wire != NULL && wire->size > PYROSCOPE_BYTES_MAX)
		found(to, "pyroscope", true,
		      "%zu bytes unpacked; a server accepts 4 MiB unless told otherwise",
		      wire->size);
	if (p->samples_n > PYROSCOPE_SAMPLES_MAX)
		found(to, "pyroscope", true,
		      "%u samples; a server accepts %d unless told otherwise", p->samples_n,
		      PYROSCOPE_SAMPLES_MAX);
	for (i = 0; i < p->samples_n; i++) {
		if (p->samples[i].labels_n > PYROSCOPE_LABELS_MAX)
			count(&many_labels, i);
		if (p->samples[i].locations_n > PYROSCOPE_DEPTH_MAX)
			count(&deep, i);
	}
	if (many_labels.n != 0)
		found(to, "pyroscope", true, "more than %d labels (sample %u%s)",
		      PYROSCOPE_LABELS_MAX, many_labels.first + 1, and_more(many_labels.n));
	if (deep.n != 0)
		found(to, "pyroscope", true,
		      "more than %d frames, of which the leaf side would be cut (sample %u%s)",
		      PYROSCOPE_DEPTH_MAX, deep.first + 1, and_more(deep.n));
	check_lengths(p, to);
}

/* What a label is, by the comments of profile.proto; readers keep one value of a key, or refuse the profile. */
static void check_labels(const struct profile *p, struct reporter *to)
{
	struct tally twice = {0}, reserved = {0};
	uint32_t i, j, k;

	for (i = 0; i < p->samples_n; i++) {
		const struct profile_sample *s = &p->samples[i];
		bool is_twice = false, is_reserved = false;

		/* of more than any server takes, check_pyroscope() speaks */
		for (j = 0; j < s->labels_n && j < PYROSCOPE_LABELS_MAX; j++) {
			const char *key = s->labels[j].key;

			if (key == NULL)
				continue;
			is_reserved |=
				strncmp(key, "pprof::", 7) == 0 && strcmp(key, "pprof::base") != 0;
			for (k = 0; k < j; k++)
				is_twice |= s->labels[k].key != NULL &&
					    strcmp(s->labels[k].key, key) == 0;
		}
		if (is_twice)
			count(&twice, i);
		if (is_reserved)
			count(&reserved, i);
	}
	if (twice.n != 0)
		found(to, "cprof", true, "a label that a sample has twice (sample %u%s)",
		      twice.first + 1, and_more(twice.n));
	if (reserved.n != 0)
		found(to, "cprof", true,
		      "a label that begins with 'pprof::', which pprof has for itself (sample "
		      "%u%s)",
		      reserved.first + 1, and_more(reserved.n));
}

/* What reads fine and still loses something. */
static void check_losses(const struct profile *p, const struct pprof_wire *wire,
			 struct reporter *to)
{
	struct tally empty_numbers = {0}, outside = {0}, deleted = {0}, reversed = {0};
	uint32_t i, j;
	bool is_default_known = false;

	if (p->sample_types_n == 0)
		found(to, "cprof", true, "no sample type: there is nothing to show");
	for (i = 0; i < p->sample_types_n; i++)
		is_default_known |= strcmp(p->sample_types[i].type, p->default_sample_type) == 0;
	if (p->default_sample_type[0] != '\0' && !is_default_known)
		found(to, "cprof", true,
		      "the default sample type '%.80s' is none of the sample types",
		      p->default_sample_type);
	if (wire != NULL && wire->dangling_mappings_n != 0)
		found(to, "cprof", true,
		      "%" PRIu64 " locations name a mapping that is not there; they are read "
		      "as having none",
		      wire->dangling_mappings_n);
	for (i = 0; i < p->samples_n; i++) {
		for (j = 0; j < p->samples[i].labels_n; j++) {
			const struct profile_label *label = &p->samples[i].labels[j];

			if (label->str == NULL && label->num == 0 && label->num_unit[0] == '\0')
				count(&empty_numbers, i);
		}
	}
	if (empty_numbers.n != 0)
		found(to, "cprof", true,
		      "a numeric label of 0 without a unit is dropped by pprof (sample %u%s)",
		      empty_numbers.first + 1, and_more(empty_numbers.n));
	for (i = 0; i < p->locations_n; i++) {
		const struct profile_location *l = &p->locations[i];
		const struct profile_mapping *m;

		if (l->mapping >= p->mappings_n || l->address == 0)
			continue;
		m = &p->mappings[l->mapping];
		if (m->limit != 0 && (l->address < m->start || l->address >= m->limit))
			count(&outside, i);
	}
	if (outside.n != 0)
		found(to, "cprof", true,
		      "address %#" PRIx64 " is outside its mapping and cannot be symbolized%s",
		      p->locations[outside.first].address, and_more(outside.n));
	for (i = 0; i < p->mappings_n; i++) {
		const char *file = p->mappings[i].file;
		size_t n = strlen(file), tail = strlen(" (deleted)");

		if (p->mappings[i].limit != 0 && p->mappings[i].limit < p->mappings[i].start)
			count(&reversed, i);
		if (n > tail && strcmp(file + n - tail, " (deleted)") == 0)
			count(&deleted, i);
	}
	if (reversed.n != 0)
		found(to, "cprof", true, "mapping %u ends before it begins%s", reversed.first + 1,
		      and_more(reversed.n));
	if (deleted.n != 0)
		found(to, "cprof", true,
		      "mapping %u ends in ' (deleted)', which pprof takes for a part of the name%s",
		      deleted.first + 1, and_more(deleted.n));
}

int check_profile(const struct profile *p, const struct pprof_wire *wire, int64_t now_ns,
		  check_report *report, void *context)
{
	struct reporter to = {report, context, 0};
	struct validity v;

	if (look(p, wire, &v) < 0)
		found(&to, "cprof", false, "out of memory: the profile was not checked");
	else
		check_pprof(p, wire, &v, &to);
	check_parca(p, wire, &to);
	check_pyroscope(p, wire, now_ns, &to);
	check_labels(p, &to);
	check_losses(p, wire, &to);
	return to.errors_n;
}
