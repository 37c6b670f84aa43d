/* heap_plugin: what heap_edges knows of the libraries that it loads: how often they allocate. */
#ifndef HEAP_PLUGIN_H
#define HEAP_PLUGIN_H

enum { PLUGIN_BEGINS = 3, PLUGIN_WORKS = 7, PLUGIN_ENDS = 2, PLUGIN_SIZE = 1000 };

#endif
