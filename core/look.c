#include "core/look.h"

#include "core/look_private.h"
#include "core/signals.h"

int look_start(enum look_for who, look_sink sink)
{
	int r = signals_take(SIGPROF, look_on_signal);

	if (r < 0)
		return r;
	atomic_store_explicit(&look_sinks[who], sink, memory_order_release);
	atomic_fetch_or_explicit(&wait_is_on, WAIT_SHOWN, memory_order_seq_cst);
	return 0;
}

void look_stop(enum look_for who)
{
	bool is_used = false;

	atomic_store_explicit(&look_sinks[who], NULL, memory_order_release);
	for (unsigned i = 0; i < LOOK_KINDS; i++)
		is_used = is_used ||
			  atomic_load_explicit(&look_sinks[i], memory_order_relaxed) != NULL;
	if (!is_used)
		atomic_fetch_and_explicit(&wait_is_on, ~WAIT_SHOWN, memory_order_seq_cst);
}

void look_forked(void)
{
	for (unsigned i = 0; i < LOOK_KINDS; i++)
		atomic_store_explicit(&look_sinks[i], NULL, memory_order_relaxed);
	atomic_fetch_and_explicit(&wait_is_on, ~WAIT_SHOWN, memory_order_relaxed);
}
