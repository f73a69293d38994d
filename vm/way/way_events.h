/* SPDX-License-Identifier: GPL-2.0 */
/* way_events.h - the trace events of way.c, as include/trace/events/ has the kernel's own. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM way

#if !defined(WAY_EVENTS_H) || defined(TRACE_HEADER_MULTI_READ)
#define WAY_EVENTS_H

#include <linux/tracepoint.h>

/* A packet comes to one of netfilter's places, or is through with all hooks there. */
TRACE_EVENT(place,
	    TP_PROTO(const struct sk_buff *skb, const struct nf_hook_state *state, bool through,
		     const struct packet *packet),
	    TP_ARGS(skb, state, through, packet),
	    TP_STRUCT__entry(__field(const void *, skbaddr)
			     __field(unsigned int, place)
			     __field(unsigned int, through)
			     __field(unsigned int, host)
			     __array(char, in, 16)
			     __array(char, out, 16)
			     __field(unsigned int, protocol)
			     __field(unsigned int, source)
			     __field(unsigned int, source_port)
			     __field(unsigned int, destination)
			     __field(unsigned int, destination_port)
			     __field(unsigned int, id)
			     __field(unsigned int, fragment)
			     __field(unsigned int, flags)),
	    TP_fast_assign(__entry->skbaddr = skb;
			   __entry->place = state->hook;
			   __entry->through = through;
			   __entry->host = state->net->ns.inum;
			   strscpy(__entry->in, state->in ? state->in->name : "-", 16);
			   strscpy(__entry->out, state->out ? state->out->name : "-", 16);
			   __entry->protocol = packet->protocol;
			   __entry->source = packet->source;
			   __entry->source_port = packet->source_port;
			   __entry->destination = packet->destination;
			   __entry->destination_port = packet->destination_port;
			   __entry->id = packet->id;
			   __entry->fragment = packet->fragment;
			   __entry->flags = packet->flags;),
	    TP_printk("skbaddr=%p place=%u through=%u host=%u in=%s out=%s protocol=%u source=%#x source_port=%u destination=%#x destination_port=%u id=%u fragment=%u flags=%#x",
		      __entry->skbaddr, __entry->place, __entry->through, __entry->host,
		      __entry->in, __entry->out, __entry->protocol, __entry->source,
		      __entry->source_port, __entry->destination, __entry->destination_port,
		      __entry->id, __entry->fragment, __entry->flags)
);

/* A hook function of somebody else's was called, and returned. Its name may be gone later. */
TRACE_EVENT(verdict,
	    TP_PROTO(const void *skb, unsigned int place, const char *function,
		     unsigned int verdict),
	    TP_ARGS(skb, place, function, verdict),
	    TP_STRUCT__entry(__field(const void *, skbaddr)
			     __field(unsigned int, place)
			     __array(char, function, 96)
			     __field(unsigned int, verdict)),
	    TP_fast_assign(__entry->skbaddr = skb;
			   __entry->place = place;
			   strscpy(__entry->function, function, 96);
			   __entry->verdict = verdict;),
	    TP_printk("skbaddr=%p place=%u function=%s verdict=%#x", __entry->skbaddr,
		      __entry->place, __entry->function, __entry->verdict)
);

/* A packet is handed to a socket of this port. */
TRACE_EVENT(socket,
	    TP_PROTO(const void *skb, unsigned int port),
	    TP_ARGS(skb, port),
	    TP_STRUCT__entry(__field(const void *, skbaddr)
			     __field(unsigned int, port)),
	    TP_fast_assign(__entry->skbaddr = skb;
			   __entry->port = port;),
	    TP_printk("skbaddr=%p port=%u", __entry->skbaddr, __entry->port)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE way_events
#include <trace/define_trace.h>
