#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "output/text_filter.h"
#include "output/text_regex.h"

/* The name up to its parameters, which "(anonymous namespace)" and "operator()" are not. */
static char *without_parameters(const char *name)
{
	static const char anonymous[] = "(anonymous namespace)", call[] = "operator()";
	const char *at;

	if (*name == '.') /* a function descriptor of 64-bit PowerPC */
		name++;
	for (at = name; *at != '\0';) {
		if (strncmp(at, anonymous, sizeof(anonymous) - 1) == 0)
			at += sizeof(anonymous) - 1;
		else if (strncmp(at, call, sizeof(call) - 1) == 0)
			at += sizeof(call) - 1;
		else if (*at == '(')
			break;
		else
			at++;
	}
	return strndup(name, (size_t)(at - name));
}

static bool matches_whole(struct regex *re, const char *name)
{
	return re != NULL && regex_is_match(re, name);
}

static int compile_whole(struct regex **ret, const char *what, const char *pattern, struct why *why)
{
	char *whole;
	struct why inner;
	int r;

	if (asprintf(&whole, "^(%s)$", pattern) < 0) {
		why_set(why, "out of memory");
		return -ENOMEM;
	}
	r = regex_create(ret, whole, &inner);
	free(whole);
	if (r < 0)
		why_set(why, "the profile's %s is not applied: %.220s", what, inner.text);
	return r;
}

enum { CUT_NOT, CUT_HERE, CUT_BENEATH };

/* From the root on, the first frame to cut that comes after one to keep, and all it called, go. */
static void cut_sample(struct profile_sample *s, const unsigned char *cuts)
{
	bool has_kept = false;
	uint32_t i, first;

	for (i = s->locations_n; i-- > 0;) {
		if (cuts[s->locations[i]] == CUT_NOT) {
			has_kept = true;
			continue;
		}
		if (!has_kept)
			continue;
		first = cuts[s->locations[i]] == CUT_HERE ? i + 1 : i;
		s->locations += first;
		s->locations_n -= first;
		return;
	}
}

int filter_drop_frames(struct profile *p, struct why *why)
{
	struct regex *drop = NULL, *keep = NULL;
	unsigned char *cuts = NULL;
	bool *is_dropped = NULL;
	char *name;
	uint32_t i, n;
	int r;

	if (p->drop_frames[0] == '\0')
		return 0;
	r = compile_whole(&drop, "drop_frames", p->drop_frames, why);
	if (r == 0 && p->keep_frames[0] != '\0')
		r = compile_whole(&keep, "keep_frames", p->keep_frames, why);
	if (r < 0)
		goto out;
	cuts = calloc((size_t)p->locations_n + 1, 1);
	is_dropped = calloc((size_t)p->functions_n + 1, sizeof(*is_dropped));
	if (cuts == NULL || is_dropped == NULL)
		goto no_memory;
	for (i = 0; i < p->functions_n; i++) {
		if (p->functions[i].name[0] == '\0')
			continue;
		name = without_parameters(p->functions[i].name);
		if (name == NULL)
			goto no_memory;
		is_dropped[i] = matches_whole(drop, name) && !matches_whole(keep, name);
		free(name);
	}
	for (i = 0; i < p->locations_n; i++) {
		struct profile_location *l = &p->locations[i];

		for (n = l->lines_n; n > 0 && !is_dropped[l->lines[n - 1].function]; n--)
			;
		if (n == 0)
			continue;
		cuts[i] = n == l->lines_n ? CUT_HERE : CUT_BENEATH;
		if (n < l->lines_n) {
			l->lines += n;
			l->lines_n -= n;
		}
	}
	for (i = 0; i < p->samples_n; i++)
		cut_sample(&p->samples[i], cuts);
	goto out;

no_memory:
	why_set(why, "out of memory");
	r = -ENOMEM;
out:
	regex_destroy(drop);
	regex_destroy(keep);
	free(cuts);
	free(is_dropped);
	return r;
}

static void cut_from_leaf(struct profile *p, const bool *is_cut)
{
	uint32_t i, n;

	for (i = 0; i < p->samples_n; i++) {
		struct profile_sample *s = &p->samples[i];

		for (n = 0; n < s->locations_n && !is_cut[s->locations[n]]; n++)
			;
		if (n == s->locations_n)
			continue;
		s->locations += n;
		s->locations_n -= n;
	}
}

int filter_prune_from(struct report *r, struct why *why)
{
	struct profile *p = &r->profile;
	struct regex *re;
	struct why inner;
	bool *is_match = NULL, *is_cut = NULL;
	char *name;
	uint32_t i, n;
	int error;

	if (r->options->prune_from == NULL || r->options->prune_from[0] == '\0')
		return 0;
	error = regex_create(&re, r->options->prune_from, &inner);
	if (error < 0) {
		why_set(why, "-prune_from: %.240s", inner.text);
		return error;
	}
	is_match = calloc((size_t)p->functions_n + 1, sizeof(*is_match));
	is_cut = calloc((size_t)p->locations_n + 1, sizeof(*is_cut));
	if (is_match == NULL || is_cut == NULL)
		goto no_memory;
	for (i = 0; i < p->functions_n; i++) {
		if (p->functions[i].name[0] == '\0')
			continue;
		name = without_parameters(p->functions[i].name);
		if (name == NULL)
			goto no_memory;
		is_match[i] = regex_is_match(re, name);
		free(name);
	}
	for (i = 0; i < p->locations_n; i++) {
		struct profile_location *l = &p->locations[i];

		for (n = 0; n < l->lines_n && !is_match[l->lines[n].function]; n++)
			;
		if (n == l->lines_n)
			continue;
		is_cut[i] = true;
		l->lines += n;
		l->lines_n -= n;
	}
	cut_from_leaf(p, is_cut);
	goto out;

no_memory:
	why_set(why, "out of memory");
	error = -ENOMEM;
out:
	regex_destroy(re);
	free(is_match);
	free(is_cut);
	return error;
}
