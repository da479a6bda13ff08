/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* What goes out: SYN-ACK and RST are the evidence for scans and half-open connections; requests of ours make the answers to
 * them no probes. p is the outgoing packet; src and dst are the hashes of its addresses. */
#pragma once
#include "parse.h"

/* unreachable reports an ICMP destination unreachable, of either version. */
INLINE bool unreachable(struct packet *p)
{
	return p->class == ICMP_OTHER && p->dport >> 8 == (p->v6 ? 1 : 3);
}

/* counted_by returns the record of a promoted source in this interval, or 0. */
INLINE struct source *counted_by(struct state *st, struct control *c, struct addr addr, u64 hash)
{
	int slot = find_source(st, hash);
	if (slot < 0)
		return 0;
	struct source *s = &st->source[c->epoch & 1][slot & (CPU_SOURCES - 1)];
	if (!s->first) {
		s->addr = addr;
		s->first = now(st, c);
	}
	return s;
}

/* disproves reports a RST without ACK, the answer to an ACK that belongs to no connection; a connection that is refused or aborted
 * gets one with ACK (RFC 9293, section 3.10.7). */
INLINE bool disproves(struct packet *p)
{
	return p->class == TCP_RST && !(p->flags & 0x10);
}

INLINE void answer(struct state *st, struct control *c, struct packet *p, u64 src, u64 dst)
{
	bool accept = p->class == TCP_SYNACK, refuse = p->class == TCP_RST;
	if (p->class <= UDP && !refuse)
		mark_outbound(c, converse(dst, src, (u64)p->proto << 16 | p->sport));
	if (!accept && !refuse && !unreachable(p))
		return;
	struct source *s = counted_by(st, c, p->dst, dst);
	if (s) {
		s->answered += accept;
		s->refused += !accept;
		s->disproved += disproves(p);
	}
	if (!accept && !refuse)
		return;
	struct target *t = target_of(st, c, p->src, src);
	if (t) {
		t->synack_out += accept;
		t->rst_out += refuse;
		t->disproved += disproves(p);
	}
}
