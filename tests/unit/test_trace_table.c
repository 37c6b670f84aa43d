/*
 * Rows as text at several widths, as JSON and as CSV: to the byte.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/tap.h"
#include "viewer/table.h"

static const struct column columns[] = {
	{"name", "lock", .kind = COLUMN_TEXT, .is_wide = true},
	{"count", "waits", .kind = COLUMN_COUNT},
	{"total_ns", "total", .kind = COLUMN_NS},
	{NULL, "share", .kind = COLUMN_SHARE},
	{"states.lock_ns", NULL, .kind = COLUMN_NS},
	{"states.idle_ns", NULL, .kind = COLUMN_NS},
	{"first_ns", "first", .kind = COLUMN_TIME, .is_ascending = true},
	{"bytes", NULL, .kind = COLUMN_BYTES},
	{"site", "where it was made", .kind = COLUMN_TEXT},
	{"left.delta", NULL, .kind = COLUMN_SIGNED},
	{"right.share", NULL, .kind = COLUMN_SHARE},
	{"recursive", "rec", .kind = COLUMN_BOOL},
	{"tid", "tid", .kind = COLUMN_ID},
};

#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

static struct out out;

/* What table_out() writes. */
static const char *written(struct table *t, enum args_format format, uint64_t limit, unsigned width)
{
	out_init(&out, -1, out.has_colour);
	table_out(t, &out, format, limit, width);
	out_char(&out, '\0');
	return out.buffer;
}

static void add(struct table *t, const char *name, uint64_t count, uint64_t ns, double share,
		const char *site)
{
	const struct cell cells[COLUMNS] = {
		{.text = name},         {.n = count},        {.n = ns},
		{.share = share},       {.n = ns / 2},       {.n = 7},
		{.n = ns + 1},          {.n = count * 1024}, {.text = site},
		{.s = -(int64_t)count}, {.share = 0.5},      {.n = count & 1},
		{.n = 10000 + count},
	};

	if (table_row(t, cells) < 0)
		abort();
}

static struct table *make(void)
{
	struct table *t;

	if (table_create(&t, "locks", columns, COLUMNS) < 0)
		abort();
	add(t, "g_cache.lock", 1234, 1204118233, 0.625, "cache_new cache.c:12");
	add(t, "a \"quoted\", name\x1b[31m", 3, 999, 0.0004, NULL);
	add(t, "Größe des 表", 77, 5500000, NAN,
	    "std::vector<std::string>::_M_realloc_insert+0x1f");
	add(t, "g_cache.lock", 5, 5500000, 0.25, "main main.c:3");
	return t;
}

static void test_text(void)
{
	static const char wide[] =
		"lock                      waits   total   share        first  where it was made   "
		"                              rec    tid\n"
		"g_cache.lock              1,234   1.20s  62.5 %  1.204118234  cache_new "
		"cache.c:12                               no  11234\n"
		"a \"quoted\", name\\x1b[31m      3   999ns   0.0 %  0.000001000  -                "
		"                                 yes  10003\n"
		"Größe des 表                 77  5.50ms       -  0.005500001  "
		"std::vector<std::string>::_M_realloc_insert+0x1f  yes  10077\n"
		"g_cache.lock                  5  5.50ms  25.0 %  0.005500001  main main.c:3       "
		"                              yes  10005\n";
	struct table *t = make();

	is_str(written(t, FORMAT_TEXT, 0, 200), wide, "text, 200 columns");
	is_str(written(t, FORMAT_TEXT, 0, 0), wide, "as it comes");
	is_str(written(t, FORMAT_TEXT, 0, 80),
	       "lock             waits   total   share        first  where it was m…  rec    tid\n"
	       "g_cache.lock     1,234   1.20s  62.5 %  1.204118234  cache_new cach…   no  11234\n"
	       "a \"quoted\", na…      3   999ns   0.0 %  0.000001000  -                yes  "
	       "10003\n"
	       "Größe des 表        77  5.50ms       -  0.005500001  std::vector<st…  yes  10077\n"
	       "g_cache.lock         5  5.50ms  25.0 %  0.005500001  main main.c:3    yes  10005\n",
	       "text, 80 columns");
	is_str(written(t, FORMAT_TEXT, 0, 60),
	       "lock      waits   total   share        first  where i…  rec    tid\n"
	       "g_cache…  1,234   1.20s  62.5 %  1.204118234  cache_n…   no  11234\n"
	       "a \"quot…      3   999ns   0.0 %  0.000001000  -         yes  10003\n"
	       "Größe d…     77  5.50ms       -  0.005500001  std::ve…  yes  10077\n"
	       "g_cache…      5  5.50ms  25.0 %  0.005500001  main ma…  yes  10005\n",
	       "text, 60 columns: numbers are whole");
	table_destroy(t);
}

static void test_below(void)
{
	struct table *t = make();

	table_note(t, "%d.%d %% of it is unknown\x1b", 0, 4);
	table_note(t, "and more");
	is_str(strchr(written(t, FORMAT_TEXT, 3, 60), '7'),
	       "77  5.50ms       -  0.005500001  std::ve…  yes  10077\n"
	       "… and 1 more (--limit 0)\n"
	       "\n"
	       "0.4 % of it is unknown\\x1b\n"
	       "and more\n",
	       "what is left out, and notes");
	ok(strstr(written(t, FORMAT_JSON, 3, 60), "unknown") == NULL, "none in JSON");
	out.has_colour = true;
	written(t, FORMAT_TEXT, 1, 200);
	ok(strncmp(out.buffer, "\x1b[1mlock ", 9) == 0 &&
		   strstr(out.buffer, "\x1b[2m… and 3 more") != NULL &&
		   strstr(out.buffer, "\x1b[2mand more\x1b[0m\n") != NULL,
	   "headings are bold, notes dim");
	is_u64(table_rows(t), 4, "all rows are still there");
	out.has_colour = false;
	table_destroy(t);
	if (table_create(&t, "locks", columns, COLUMNS) < 0)
		abort();
	table_note(t, "a note");
	is_str(written(t, FORMAT_TEXT, 20, 60), "no locks\n\na note\n", "text of nothing");
	is_str(written(t, FORMAT_JSON, 0, 60), "[]\n", "JSON of nothing");
	is_str(written(t, FORMAT_CSV, 0, 60),
	       "name,count,total_ns,states.lock_ns,states.idle_ns,first_ns,bytes,site,left.delta,"
	       "right.share,recursive,tid\r\n",
	       "CSV of nothing");
	table_destroy(t);
}

static void test_programs(void)
{
	struct table *t = make();

	is_str(written(t, FORMAT_JSON, 2, 60),
	       "[{\"name\":\"g_cache.lock\",\"count\":1234,\"total_ns\":1204118233,"
	       "\"states\":{\"lock_ns\":602059116,\"idle_ns\":7},\"first_ns\":1204118234,"
	       "\"bytes\":1263616,\"site\":\"cache_new cache.c:12\",\"left\":{\"delta\":-1234},"
	       "\"right\":{\"share\":0.5},\"recursive\":false,\"tid\":11234},\n"
	       "{\"name\":\"a \\\"quoted\\\", name\\u001b[31m\",\"count\":3,\"total_ns\":999,"
	       "\"states\":{\"lock_ns\":499,\"idle_ns\":7},\"first_ns\":1000,\"bytes\":3072,"
	       "\"site\":null,\"left\":{\"delta\":-3},\"right\":{\"share\":0.5},"
	       "\"recursive\":true,\"tid\":10003}]\n",
	       "JSON: a point makes an object, also two side by side");
	is_str(strchr(written(t, FORMAT_CSV, 2, 60), '\n') + 1,
	       "g_cache.lock,1234,1204118233,602059116,7,1204118234,1263616,cache_new cache.c:12,"
	       "-1234,0.5,false,11234\r\n"
	       "\"a \"\"quoted\"\", name\x1b[31m\",3,999,499,7,1000,3072,,-3,0.5,true,10003\r\n",
	       "CSV");
	table_destroy(t);
}

/* How many waits the rows have, one after another, by their ids. */
static const char *order_of(struct table *t)
{
	static char text[100];
	const char *end = written(t, FORMAT_CSV, 0, 0);
	size_t n = 0;

	text[0] = '\0';
	for (end = strstr(end, "\r\n"); end[2] != '\0'; n += strlen(text + n)) {
		end = strstr(end + 2, "\r\n");
		snprintf(text + n, sizeof(text) - n, "%d ",
			 atoi((const char *)memrchr(out.buffer, ',', (size_t)(end - out.buffer)) +
			      1) -
				 10000);
	}
	return text;
}

static void test_order(void)
{
	struct table *t = make();
	struct why why = {""};

	is_str(order_of(t), "1234 3 77 5 ", "as they came");
	is_u64(table_sort(t, NULL, NULL, false, &why), 0, "nothing to sort by");
	is_str(order_of(t), "1234 3 77 5 ", "as they came");
	is_u64(table_sort(t, NULL, "total_ns", false, &why), 0, "by a number");
	is_str(order_of(t), "1234 77 5 3 ", "the largest first, equals as they were");
	is_u64(table_sort(t, "total", "count", true, &why), 0, "by its title, reversed");
	is_str(order_of(t), "3 77 5 1234 ", "the smallest first, equals as they were");
	is_u64(table_sort(t, "FIRST", NULL, false, &why), 0, "in capitals");
	is_str(order_of(t), "3 77 5 1234 ", "times go up");
	is_u64(table_sort(t, "site", NULL, false, &why), 0, "by a text");
	is_str(order_of(t), "1234 5 77 3 ", "which goes up, what is not known comes last");
	is_u64(table_sort(t, "site", NULL, true, &why), 0, "reversed");
	is_str(order_of(t), "77 5 1234 3 ", "it still comes last");
	is_u64(table_sort(t, "share", NULL, false, &why), 0, "by a share");
	is_str(order_of(t), "1234 5 3 77 ", "and so does what is no number");
	is_u64(table_sort(t, "left.delta", NULL, false, &why), 0, "by what has a sign");
	is_str(order_of(t), "3 5 77 1234 ", "the largest first");
	is_u64(-table_sort(t, "nmae", NULL, false, &why), EINVAL, "by what is not there");
	ok(strstr(why.text, "nmae") != NULL && strstr(why.text, "total_ns, share") != NULL,
	   "says what is: %s", why.text);
	table_destroy(t);
}

/* Many, and long ones: nothing is cut off but in text. */
static void test_large(void)
{
	static const struct column wide[] = {{"name", "name", .kind = COLUMN_TEXT}};
	static char name[100000];
	struct table *t;
	int wrong = 0;

	memset(name, '\x01', sizeof(name) - 1);
	if (table_create(&t, "names", wide, 1) < 0)
		abort();
	for (unsigned i = 0; i < 1000; i++)
		wrong += table_row(t, &(struct cell){.text = name + i}) != 0;
	is_u64(wrong, 0, "a thousand long names");
	written(t, FORMAT_TEXT, 3, 40);
	ok(strncmp(out.buffer, "name\n\\x01\\x01\\x01\\x01\\x01\\x01\\x01\\x01\\x01\\x0…\n", 48) ==
		   0,
	   "are as wide as the text");
	table_destroy(t);
}

int main(void)
{
	plan_begin();
	test_text();
	test_below();
	test_programs();
	test_order();
	test_large();
	return plan_end();
}
