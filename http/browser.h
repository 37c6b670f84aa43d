/* browser: shows a page to the person who asked for it, where that can be. */
#pragma once

#include <stdbool.h>

/* A display, a terminal to come from unless somebody asks for it, and not somebody who is elsewhere. */
bool browser_can(bool is_asked);
/* By $BROWSER, else xdg-open; does not wait for it. */
void browser_open(const char *url);
