/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Counts of the outgoing packets that may be a flood, by target: SYN, UDP and requests of ICMP. What answers others (SYN-ACK, RST,
 * ICMP errors and replies) and what belongs to connections is not counted. */
#pragma once
#include "tries.h"

enum { OUTGOING_TARGETS = 256 }; /* in sets of WAYS */

/* An outgoing target in one interval. Counts are lower bounds if its set has more than WAYS targets. */
struct outgoing_target {
	struct addr addr, source; /* source, ports and protocol are of the latest packet */
	u64 bytes;
	u32 syn, completed, udp, icmp;
	u32 weight;  /* packets, less those of targets without a record in the set */
	u32 sources; /* a bit for each hash of a source address */
	u16 source_port, port;
	u32 proto;
	struct port_count top_ports[TOP_PORTS];
};

struct outgoing_state {
	u32 tag[2][OUTGOING_TARGETS];
	struct outgoing_target target[2][OUTGOING_TARGETS];
};

struct {
	uint(type, MAP_ARRAY);
	uint(map_flags, MMAPABLE);
	uint(max_entries, 1); /* one per CPU, set at load */
	type(key, u32);
	type(value, struct outgoing_state);
} outgoing SEC(".maps");

INLINE struct outgoing_state *cpu_outgoing(void)
{
	u32 cpu = replay ? 0 : cpu_number();
	if (unlikely(cpu >= cpus))
		cpu = cpus ? cpu % cpus : 0;
	return map_lookup(&outgoing, &cpu);
}

/* outgoing_record returns the record of a target. One without a free way in its set takes a packet off another, and the way once none
 * is left (Misra and Gries 1982), so a target of more than a fifth of the packets of its set has a record. */
INLINE struct outgoing_target *outgoing_record(struct outgoing_state *o, struct packet *p, u64 src, u64 dst)
{
	u32 bank = shared.control.epoch & 1, set = (dst & (OUTGOING_TARGETS / WAYS - 1)) * WAYS, tag = tag_of(dst);
	u32 *tags = o->tag[bank];
	int slot = slot_of(tags, set, tag);
	if (slot >= 0)
		return &o->target[bank][slot & (OUTGOING_TARGETS - 1)];
	slot = slot_of(tags, set, 0);
	if (slot < 0)
		slot = set + (src >> 5 ^ p->sport) % WAYS;
	slot &= OUTGOING_TARGETS - 1;
	struct outgoing_target *t = &o->target[bank][slot];
	if (tags[slot] && t->weight) {
		t->weight--;
		return 0;
	}
	tags[slot] = tag;
	*t = (struct outgoing_target){.addr = p->dst};
	return t;
}

/* completes_own reports whether an outgoing packet is the ACK of a SYN-ACK that came for a SYN of this machine or one behind it (see
 * accept_own). The cell of a connection holds the complement of what it holds for one that this machine accepted. */
INLINE bool completes_own(struct packet *p, u64 src, u64 dst)
{
	u64 key = hash_conversation(dst, src, (u64)p->dport << 16 | p->sport);
	u32 *cell = handshake_cell(key);
	if (p->class == TCP_SYN) {
		*cell = ~((u32)key ^ (p->seq + 1));
		return 0;
	}
	if (*cell != ~((u32)(key >> 16) ^ p->ack))
		return 0;
	*cell = 0;
	return 1;
}

INLINE void count_outgoing(struct packet *p, u64 src, u64 dst)
{
	if (is_of(p, 1 << TCP_SYN | 1 << TCP_ACK)) {
		p->completes = completes_own(p, src, dst);
		if (!p->completes && p->class == TCP_ACK)
			return;
	} else if (!is_of(p, 1 << UDP | 1 << ICMP_ECHO) && !icmp_query(p)) {
		return;
	}
	struct outgoing_state *o = cpu_outgoing();
	if (!o)
		return;
	struct outgoing_target *t = outgoing_record(o, p, src, dst);
	if (!t)
		return;
	if (p->completes) {
		t->completed++;
		return;
	}
	t->source = p->src;
	t->source_port = p->sport;
	t->port = p->dport;
	t->proto = p->proto;
	t->sources |= 1U << (src & 31);
	t->bytes += p->bytes;
	t->weight++;
	t->syn += p->class == TCP_SYN;
	t->udp += p->class == UDP;
	t->icmp += is_of(p, 1 << ICMP_ECHO | 1 << ICMP_OTHER) != 0;
	if (p->class <= UDP)
		count_port(t->top_ports, p->dport);
}
