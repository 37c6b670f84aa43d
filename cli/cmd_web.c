#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cmd.h"
#include "cli/handover.h"
#include "core/clock.h"
#include "http/announce.h"
#include "web/web.h"

static const char help[] =
	"usage: cprof web [OPTION…] [PROGRAM] FILE…\n"
	"\n"
	"Shows profiles in a browser: which functions use most, a flame graph, who calls\n"
	"whom, source lines, labels; with filters, and links that can be kept. It asks\n"
	"nobody else, and nobody else may ask it. Several files are added up.\n"
	"\n"
	"A FILE may also be a process under `cprof run`, 1234 or 1234/heap, and an address\n"
	"such as http://HOST:PORT/debug/pprof/heap. -seconds=N: of the next N seconds.\n"
	"\n"
	"  -http=ADDR:PORT  where to be asked, in place of this machine alone at a free port\n"
	"  -no_browser      print the URL, and open no browser\n"
	"  -open            open one also where the output is no terminal\n"
	"  -idle_timeout=N  end when nobody has asked for N seconds\n"
	"  -pprof           hand over to 'pprof -http' or 'go tool pprof -http'\n"
	"\n"
	"Other options are those of 'cprof top', and what the page begins with: -focus=RE,\n"
	"-sample_index=NAME, -diff_base=FILE …\n"
	"\n"
	"  cprof web cpu.pb.gz\n"
	"  cprof web -seconds=10 $(pidof server)\n"
	"  cprof web -diff_base=before/cpu.pb.gz after/cpu.pb.gz\n"
	"\n"
	"Next: 'cprof flame FILE' makes one file of it, to be sent to somebody. More:\n"
	"cprof-web(1).\n";

struct asked {
	struct cmd_report report;
	const char *http;
	bool opens, never_opens, is_for_pprof;
	int idle_sec;
	const char *command; /* the word */
};

static void list_options(struct asked *a, struct cmd_option *ret)
{
	const struct cmd_option own[] = {
		{"http", CMD_TEXT, &a->http, 0, NULL},
		{"no_browser", CMD_FLAG, &a->never_opens, 0, NULL},
		{"open", CMD_FLAG, &a->opens, 0, NULL},
		{"idle_timeout", CMD_INT, &a->idle_sec, 0, NULL},
		{"pprof", CMD_FLAG, &a->is_for_pprof, 0, NULL},
	};
	size_t n = sizeof(own) / sizeof(own[0]);

	memcpy(ret, own, sizeof(own));
	cmd_report_options(&a->report, ret + n);
}

/* ---- what the same is as a command ---- */

/* As a shell reads it. */
static void put_word(FILE *to, const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_-./:=@%+,";

	if (word[0] != '\0' && word[strspn(word, plain)] == '\0') {
		fputs(word, to);
		return;
	}
	fputc('\'', to);
	for (; *word != '\0'; word++)
		fputs(*word == '\'' ? "'\\''" : (char[]){*word, '\0'}, to);
	fputc('\'', to);
}

/* What is compared, and the files; from malloc. */
static char *files_of(const struct asked *a, const struct cmd_files *files)
{
	const struct report_options *o = &a->report.options;
	char *text = NULL, *word;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	if (to == NULL)
		return NULL;
	for (size_t i = 0; i < o->bases_n; i++) {
		if (asprintf(&word, "-%s=%s", o->is_diff_base ? "diff_base" : "base", o->bases[i]) <
		    0)
			continue;
		put_word(to, word);
		free(word);
		fputc(' ', to);
	}
	if (o->is_normalized)
		fputs("-normalize ", to);
	if (o->program != NULL) {
		put_word(to, o->program);
		fputc(' ', to);
	}
	for (size_t i = 0; i < files->n; i++) {
		put_word(to, sources_show(&a->report.sources, files->paths[i]));
		if (i + 1 < files->n)
			fputc(' ', to);
	}
	return fclose(to) == 0 ? text : NULL;
}

/* ---- the page ---- */

static void say(void *context, const char *text)
{
	cmd_complain(context, "%s", text);
}

static void on_ready(void *context, const char *url, const char *host, uint16_t port, bool is_open)
{
	const struct asked *a = context;
	const struct announce how = {.fragment = "",
				     .opens = a->opens,
				     .never_opens = a->never_opens,
				     .say = say,
				     .context = (void *)(uintptr_t)a->command};

	announce(&how, url, host, port, is_open);
}

static int serve(struct asked *a, const struct cmd_files *files)
{
	const struct report_options *o = &a->report.options;
	const char *base = o->bases_n > 0 ? o->bases[0] : NULL;
	unsigned parts = base != NULL ? 2 : 1;
	char *address = NULL, *title = cmd_title(files, parts), *command = files_of(a, files);
	struct why why = {"out of memory"};
	struct web w = {.report = &a->report.report,
			.title = title,
			.base_title = base != NULL ? cmd_tail(base, parts) : NULL,
			.command = command,
			.idle_ns = (uint64_t)a->idle_sec * NS_PER_SECOND,
			.directory = getenv("CPROF_WEB_DIR"),
			.ready = on_ready,
			.context = a};
	int r = title != NULL && command != NULL ? 0 : -ENOMEM;

	if (r == 0 && a->http != NULL)
		r = announce_read("-http", a->http, &address, &w.port, &why);
	w.address = address;
	if (r == 0)
		r = web_run(&w, &why);
	if (r == -ENOSYS)
		cmd_complain(a->command,
			     "no page is served: %s; 'cprof flame FILE' writes one, and 'cprof top "
			     "FILE' prints",
			     why.text);
	else if (r < 0)
		cmd_complain(a->command, "%s", why.text);
	free(address);
	free(title);
	free(command);
	return r == 0 ? CMD_OK : r == -EINVAL ? CMD_USAGE : CMD_FAILED;
}

static int check(const struct asked *a)
{
	if (a->opens && a->never_opens) {
		cmd_complain(a->command, "-open and -no_browser: one of them was expected");
		return CMD_USAGE;
	}
	if (a->idle_sec < 0) {
		cmd_complain(a->command, "-idle_timeout=%d: seconds were expected", a->idle_sec);
		return CMD_USAGE;
	}
	return CMD_OK;
}

/* @words: as they were typed, but for the command. */
static int show(struct asked *a, char *const *words, struct cmd_files *files)
{
	int status = check(a);

	if (status != CMD_OK)
		return status;
	if (a->is_for_pprof)
		return cmd_need_files(a->command, files) == CMD_OK
			       ? handover_pprof(a->command, words, files, &a->report.sources)
			       : CMD_USAGE;
	status = cmd_report_read(&a->report, a->command, files);
	return status == CMD_OK ? serve(a, files) : status;
}

int cmd_web(int argc, char **argv)
{
	struct cmd_option options[CMD_REPORT_OPTIONS_MAX + 24];
	struct asked a = {.command = argv[0]};
	struct cmd_files files;
	/* reading the options moves the files to the front */
	char **words = calloc((size_t)argc + 1, sizeof(*words));
	int status;

	if (words == NULL) {
		cmd_complain(argv[0], "out of memory");
		return CMD_FAILED;
	}
	memcpy(words, argv + 1, (size_t)(argc - 1) * sizeof(*words));
	cmd_report_init(&a.report);
	list_options(&a, options);
	status = cmd_parse(argc, argv, options, help, &files);
	status = status != 0 ? (status > 0 ? CMD_OK : CMD_USAGE) : show(&a, words, &files);
	cmd_report_fini(&a.report);
	free(words);
	return status;
}
