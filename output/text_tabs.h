/*
 * text_tabs: columns out of text with tabs, each as wide as its widest cell and one blank, flush right.
 *
 * A cell is what a tab ends; what is behind the last tab of a line is no cell. A column goes on as long as each next
 * line has a cell there. As Go's text/tabwriter does it with AlignRight, for what pprof prints by that.
 */
#pragma once

#include <stddef.h>
#include <stdio.h>

/* Returns 0 or -ENOMEM, with nothing printed. */
int tabs_print(const char *text, size_t size, FILE *to);
