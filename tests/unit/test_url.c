/* Addresses of profiles: their parts, what is refused, where a reply leads to. */
#include <string.h>

#include "cli/url.h"
#include "tests/tap.h"

static void test_recognised(void)
{
	static const char *const are[] = {
		"http://x",
		"HTTPS://x/y",
		"ftp://x",
		"localhost:6060",
		"10.0.0.1:80/debug/pprof/heap",
		"[::1]:6060/",
		"a.b-c_d:1?x",
	};
	static const char *const are_not[] = {
		"cpu.pb.gz", "/tmp/x:1", "a:b",       "x:",      ":80",      "x:123456", "x:80y",
		"./x:80",    "1234",     "1234/heap", "[::1:80", "unix:80x", "",         "-",
	};

	for (size_t i = 0; i < sizeof(are) / sizeof(are[0]); i++)
		ok(url_is(are[i]), "an address: %s", are[i]);
	for (size_t i = 0; i < sizeof(are_not) / sizeof(are_not[0]); i++)
		ok(!url_is(are_not[i]), "none: %s", are_not[i]);
}

static void is_shown(const char *text, const char *want, const char *login)
{
	struct url url;
	struct why why = {""};
	char got[URL_MAX];

	ok(url_parse(text, &url, &why) == 0, "%s: %s", text, why.text);
	url_show(&url, got, sizeof(got));
	is_str(got, want, "%s", text);
	is_str(url.login, login, "%s: its login", text);
}

static void test_parts(void)
{
	static const char *const refused[] = {
		"ftp://x/",         "http://",       "http:///x",         "http://x:y/",
		"http://x:123456/", "http://a b/",   "http://x/\r\nX: y", "http://[::1/",
		"http://::1/",      "http://%zz@x/", "http://[::1]x/",
	};
	struct url url;
	struct why why;
	char text[URL_MAX + 50];

	is_shown("http://x", "http://x:80/debug/pprof/profile", "");
	is_shown("http://x/", "http://x:80/debug/pprof/profile", "");
	is_shown("x:6060", "http://x:6060/debug/pprof/profile", "");
	is_shown("http://x?a=b#c", "http://x:80/?a=b", "");
	is_shown("http://x:1/a/b?c=d", "http://x:1/a/b?c=d", "");
	is_shown("https://x/y", "https://x:443/y", "");
	is_shown("https+insecure://x/y", "https://x:443/y", "");
	is_shown("http://[::1]:6060/h", "http://[::1]:6060/h", "");
	is_shown("http://[fe80::1%eth0]/h", "http://[fe80::1%eth0]:80/h", "");
	is_shown("http://me:p%40ss@x:1/h", "http://x:1/h", "me:p@ss");
	is_shown("http://x/@y", "http://x:80/@y", "");
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		ok(url_parse(refused[i], &url, &why) < 0, "refused: number %zu", i);
	memset(text, 'x', sizeof(text));
	memcpy(text, "http://h/", 9);
	text[sizeof(text) - 1] = '\0';
	ok(url_parse(text, &url, &why) < 0, "refused: one that is too long");
	memcpy(text, "http://hh", 9);
	ok(url_parse(text, &url, &why) < 0, "refused: a host that is too long");
}

static void is_seconds(const char *target, int seconds, const char *want)
{
	char text[URL_MAX];

	snprintf(text, sizeof(text), "%s", target);
	ok(url_set_seconds(text, seconds) == 0, "%s: so many seconds", target);
	is_str(text, want, "%s", target);
	is_u64(url_seconds(text), seconds, "%s: they are read again", target);
}

static void test_seconds(void)
{
	char text[URL_MAX];

	is_seconds("/p", 5, "/p?seconds=5");
	is_seconds("/p?", 5, "/p?&seconds=5");
	is_seconds("/p?seconds=30", 5, "/p?seconds=5");
	is_seconds("/p?a=1&seconds=30&b=2", 5, "/p?a=1&b=2&seconds=5");
	is_seconds("/p?seconds=30&seconds=31&b", 5, "/p?b&seconds=5");
	is_seconds("/p?secondsx=1&seconds", 5, "/p?secondsx=1&seconds=5");
	is_u64(url_seconds("/p"), 0, "none");
	is_u64(url_seconds("/p?seconds=x"), 0, "no number");
	is_u64(url_seconds("/p?seconds=-1"), 0, "less than one");
	is_u64(url_seconds("/p?seconds=99999999999"), 0, "too many");
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	ok(url_set_seconds(text, 5) < 0 && strlen(text) == sizeof(text) - 1, "no room: as it was");
}

static void leads(const char *from, const char *location, const char *want, const char *login)
{
	struct url url;
	struct why why = {""};
	char got[URL_MAX];

	url_parse(from, &url, &why);
	ok(url_follow(&url, location, &why) == 0, "%s: %s", location, why.text);
	url_show(&url, got, sizeof(got));
	is_str(got, want, "%s leads to %s", from, location);
	is_str(url.login, login, "%s: the login that goes along", location);
}

static void test_following(void)
{
	static const char *const refused[] = {
		"", "x", "//other/x", "file:///etc/passwd", "http://a b/", "/a\tb"};
	struct url url;
	struct why why;

	leads("http://me:x@a:1/b", "/c?d#e", "http://a:1/c?d", "me:x");
	leads("http://me:x@a:1/b", "http://a:1/c", "http://a:1/c", "me:x");
	leads("http://me:x@a:1/b", "http://b:1/c", "http://b:1/c", "");
	leads("http://me:x@a:1/b", "http://a:2/c", "http://a:2/c", "");
	leads("https://me:x@a:1/b", "http://a:1/c", "http://a:1/c", "");
	leads("http://me:x@a:1/b", "http://you:y@a:1/c", "http://a:1/c", "you:y");
	url_parse("http://a/", &url, &why);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		ok(url_follow(&url, refused[i], &why) < 0, "not followed: %s", refused[i]);
}

int main(void)
{
	plan_begin();
	test_recognised();
	test_parts();
	test_seconds();
	test_following();
	return plan_end();
}
