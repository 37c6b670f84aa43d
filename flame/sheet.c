#include "page/sheet.h"
#include "flame/flame.h"

struct putting {
	const struct flame *f;
	const struct flame_ask *ask;
};

static int put_section(void *context, struct out *out, struct why *why)
{
	const struct putting *p = context;
	struct sheet_section s;
	int r;

	sheet_open_section(out, "data");
	r = sheet_section_begin(&s, out);
	if (r == 0)
		r = flame_put_data(p->f, p->ask, sheet_section_put, &s, why);
	if (r == 0)
		r = sheet_section_end(&s);
	sheet_section_fini(&s);
	sheet_close_section(out);
	return r;
}

int flame_put_page(const struct flame *f, const struct flame_ask *ask, const struct asset *files,
		   struct out *out, struct why *why)
{
	struct putting p = {f, ask};
	struct sheet sheet;
	int r = sheet_init(&sheet, files);

	return r < 0 ? r : sheet_write(&sheet, put_section, &p, out, why);
}
