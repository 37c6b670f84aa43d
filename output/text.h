/*
 * text: what the printed reports have in common: load profiles, filter them, and the lines on top.
 *
 *     report_load      read each file, bring them together, names as pprof shows them, drop_frames
 *     report_prepare   choose the column, add it up, focus and ignore, forget what is not shown
 *     top_print …      one function for each kind of report; most of them of the graph (output/graph.h)
 *
 * Each step changes report.profile for good: a report is made once. The aim is go tool pprof's
 * text, byte for byte; what it does is described here in our words, and
 * tests/integration/pprof_parity.py compares.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "core/why.h"
#include "output/pprof.h"
#include "output/profile.h"
#include "output/text_unit.h"

enum granularity {
	BY_FUNCTION,
	BY_FILE_FUNCTION,
	BY_FILE,
	BY_LINE,
	BY_ADDRESS,
};

/* The words are pprof's. NULL means not given. */
struct report_options {
	/* how to read */
	const char *program; /* a file name for the main program in place of the profile's */
	bool keep_names;     /* -symbolize=none: names as they are in the file */
	/* reads a profile by its name, as pprof_read_from() does; NULL: names are those of files */
	int (*read)(void *user, const char *name, struct profile *ret, struct pprof_wire *wire,
		    struct why *why);
	void *read_user;
	char *const *bases; /* files whose values are taken away */
	size_t bases_n;
	bool is_diff_base;  /* percentages are of the base */
	bool is_normalized; /* first scaled to the sums of the base */

	/* which number */
	const char *sample_index;
	bool is_mean;
	double divide_by;
	const char *unit;

	/* which samples and frames */
	const char *focus, *ignore, *hide, *show, *show_from, *tag_focus, *tag_ignore;
	const char *prune_from;
	const char *tag_show, *tag_hide; /* which labels are there */
	const char *tag_root, *tag_leaf; /* lists of labels that become frames */
	bool is_relative;                /* percentages of what is left */
	bool with_idle; /* also waiting that is idle; what asks for labels by itself has it, too */

	/* what is one line of the report */
	enum granularity granularity;
	bool no_inlines;
	const char *trim_path, *source_path; /* how files are shown: path_trim() */

	/* how much of it */
	bool is_cum_sort, drop_negative, no_trim, is_compact;
	int node_count;
	double node_fraction, edge_fraction;

	const char *expression; /* which places, for reports that are about some of them */

	void (*note)(const char *text); /* what the user may want to know; NULL: nobody asks */
};

extern const struct report_options report_defaults;

struct report_unit {
	const char *key, *unit;
};

struct report {
	struct profile profile;
	const struct report_options *options;

	uint32_t column;        /* of the values */
	const char *type;       /* its name, "mean_" before it when so */
	const char *unit;       /* its unit */
	const char *shown_unit; /* what values are printed in */
	double ratio;           /* values are multiplied by it to be printed */
	int64_t total;
	struct report_unit *units; /* of numeric labels, by the address of their key */
	size_t units_n;
	int64_t *idle; /* by column, what was left out as idle; NULL: nothing was */
};

/*
 * Reads the files and adds them up into a fresh @ret, as they are. All must be good: half a result
 * would look like a whole one. Of @options only how to read is looked at. Returns 0 or a negative
 * errno, with @why naming the file.
 */
int report_read(struct profile *ret, const struct report_options *options, char *const *paths,
		size_t paths_n, struct why *why);

/* The same into a fresh @r, with names as they are shown. @options must stay. */
int report_load(struct report *r, const struct report_options *options, char *const *paths,
		size_t paths_n, struct why *why);

/*
 * Applies all options. Returns 0, -EINVAL (an option's value is no good, @why says which) or
 * -ENOMEM.
 */
int report_prepare(struct report *r, struct why *why);
/* r->column, as the options have it; part of report_prepare(). 0 or -EINVAL, with @why. */
int report_choose_column(struct report *r, struct why *why);
void report_fini(struct report *r); /* a zeroed one is fine */

int64_t report_value(const struct report *r, const struct profile_sample *s);
int64_t report_divisor(const struct report *r,
		       const struct profile_sample *s); /* 0 unless a mean is asked for */
struct unit_label report_label(const struct report *r, int64_t value);

/*
 * text_labels.c. The unit of a numeric label: the first that the profile gives it, else "bytes" for two old names, else
 * the key itself.
 */
int report_find_units(struct report *r); /* 0 or -ENOMEM; part of report_prepare() */
const char *report_label_unit(const struct report *r, const char *key);

/* The lines about the whole profile: File, Type, Time, Duration. Returns how many. */
int report_print_header(struct report *r, FILE *to);
void report_print_filters(const struct report *r, FILE *to);

/*
 * text_idle.c: waiting that is idle is left out, unless options say otherwise, and one line says how much that was, if any.
 */
void report_leave_out_idle(struct report *r);
void report_print_idle(const struct report *r, FILE *to);

/* What a report returns: @error, or -EIO when @to did not take all of it. Fills @why. */
int report_end(FILE *to, int error, struct why *why);

/*
 * A mapping whose file is an address on the net, and without a build id, is the server's answer,
 * not a file.
 */
bool path_is_url(const char *file);

/* text_path.c */
const char *path_base(struct profile *p, const char *path);  /* last part of @path */
const char *path_clean(struct profile *p, const char *path); /* without "//", "." and ".." */
/*
 * What is left of @path without the first of the prefixes in @trim_path, a list by colons. Without one, what is
 * behind a directory that is called as one of @source_path. Both may be NULL.
 */
const char *path_trim(const char *path, const char *trim_path, const char *source_path);
