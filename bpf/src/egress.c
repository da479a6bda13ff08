// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* The TCX program on the way out (Linux 6.6): it lets everything pass and writes evidence into the maps of the XDP program. */
#define CONTEXT struct __sk_buff
#include "answer.h"

char licence[] SEC("license") = "Dual BSD/GPL";

SEC("tcx/egress")
int answers_out(struct __sk_buff *skb)
{
	struct state *st = state_here();
	struct control *c = the_control();
	if (!st || !c)
		return TCX_NEXT;
	struct packet p = {};
	if (parse(skb, &p, 1) != PARSED)
		return TCX_NEXT;
	answer(st, c, &p, mix(p.src.hi, p.src.lo), mix(p.dst.hi, p.dst.lo));
	return TCX_NEXT;
}
