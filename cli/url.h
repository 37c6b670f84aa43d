/*
 * url: where a profile is on the net, as pprof takes it: http://name:password@host:port/path?query, or host:port/path.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "core/why.h"

#define URL_MAX 2048

struct url {
	bool is_tls;
	bool is_unchecked; /* https+insecure: whoever answers is believed to be the one */
	char login[256];   /* "name:password"; "": none is given */
	char host[256];    /* an IPv6 address without its brackets */
	char port[6];
	char target[URL_MAX]; /* path and query */
};

/* Does @text look like one, and like nothing else? */
bool url_is(const char *text);
/* 0 or -EINVAL. Without a path it is "/debug/pprof/profile", as go tool pprof has it. */
int url_parse(const char *text, struct url *ret, struct why *why);
/* Where a reply's Location leads from @url. The login goes along to the same host only. 0 or -EINVAL. */
int url_follow(struct url *url, const char *location, struct why *why);
/* For errors and progress: without the login. */
void url_show(const struct url *url, char *ret, size_t size);

/* What is asked for in @target by seconds=, or 0. */
int url_seconds(const char *target);
/* Asks for so many in place of what @target, of URL_MAX bytes, says. 0 or -EINVAL: it has no room. */
int url_set_seconds(char *target, int seconds);
