/*
 * Any reply of a server ends within bounds, and so does any address. The input is what the server sends; its first line is also read as
 * an address, and as where one leads.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/reply.h"

#define BODY_MAX 5000

static void check(bool is_right)
{
	if (!is_right)
		abort();
}

static void is_address(const struct url *url)
{
	check(url->target[0] == '/' && url->host[0] != '\0' && url->port[0] != '\0');
	check(strpbrk(url->target, " \r\n") == NULL && strpbrk(url->host, " \r\n/") == NULL);
}

static void read_address(const char *text)
{
	struct url url, from;
	struct why why = {""};

	url_is(text);
	if (url_parse(text, &url, &why) == 0) {
		is_address(&url);
		if (url_set_seconds(url.target, 7) == 0)
			check(url_seconds(url.target) == 7);
	} else {
		check(why.text[0] != '\0');
	}
	check(url_parse("http://me:x@host/a?b", &from, &why) == 0);
	if (url_follow(&from, text, &why) == 0) {
		is_address(&from);
		check(strcmp(from.host, "host") == 0 || strcmp(from.login, "me:x") != 0 ||
		      strstr(text, "me:x@") != NULL || strchr(text, '%') != NULL);
	}
}

static void read_reply(const uint8_t *data, size_t size)
{
	struct wire wire;
	struct reply reply;
	struct why why = {""};
	struct stat st;
	int ends[2], body = memfd_create("fuzz", 0), r;

	check(body >= 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
	send(ends[0], data, size, MSG_DONTWAIT);
	close(ends[0]);
	wire_init(&wire, 60);
	wire.sock = ends[1];
	r = reply_take(&wire, body, BODY_MAX, &reply, &why);
	check(fstat(body, &st) == 0 && st.st_size <= BODY_MAX);
	check(r == 0 || r == -EREMCHG || why.text[0] != '\0');
	check(r != -ETIMEDOUT && (r != 0 || reply.status == 200));
	close(ends[1]);
	close(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	check(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	text[strcspn(text, "\n")] = '\0';
	read_address(text);
	read_reply(data, size);
	free(text);
	return 0;
}
