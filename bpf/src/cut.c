// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* The programs on the host's end of a container's interface (veth) that let it answer but not begin: what it sends passes only as part
 * of a conversation that another began. They are on the host's end because a container may change the rules of its own namespace,
 * and send packets past them (AF_PACKET). */
#include "kernel.h"

char licence[] SEC("license") = "Dual BSD/GPL";

enum { ETHERNET = 14, PROTO_ICMP = 1, PROTO_TCP = 6, PROTO_UDP = 17, PROTO_ICMPV6 = 58 };
enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };
enum { CONVERSATIONS = 32768 };

/* A conversation that another began: its address (IPv4 as ::ffff:a.b.c.d) and the ports, 0 for protocols without. */
struct conversation {
	u8 remote[16];
	u16 remote_port, port;
	u8 protocol, zero[3];
};

/* Who floods the container with new conversations pushes out those that were used least recently. */
struct {
	uint(type, MAP_LRU_HASH);
	uint(max_entries, CONVERSATIONS);
	type(key, struct conversation);
	type(value, u8);
} conversations SEC(".maps");

struct packet {
	struct conversation c;
	u32 l3, l4;	 /* offsets */
	u8 flags, icmp_type; /* of TCP, of ICMP */
	bool ipv6;
};

enum kind { IP, NEIGHBOUR, UNREADABLE };

/* parse_ip reads the network header; outgoing says which of its addresses is the remote one. */
INLINE enum kind parse_ip(struct __sk_buff *skb, bool outgoing, struct packet *p)
{
	u16 protocol = 0, fragment = 0;
	u8 first = 0;
	load_bytes(skb, 12, &protocol, 2);
	p->l3 = ETHERNET;
	if (protocol == BE16(0x0806)) /* ARP */
		return NEIGHBOUR;
	if (protocol == BE16(0x0800)) {
		p->c.remote[10] = p->c.remote[11] = 0xff;
		if (load_bytes(skb, ETHERNET, &first, 1) || load_bytes(skb, ETHERNET + 6, &fragment, 2) ||
		    load_bytes(skb, ETHERNET + 9, &p->c.protocol, 1) || load_bytes(skb, ETHERNET + (outgoing ? 16 : 12), &p->c.remote[12], 4))
			return UNREADABLE;
		p->l4 = ETHERNET + (first & 15) * 4;
		return first >> 4 == 4 && (first & 15) >= 5 && !(fragment & BE16(0x1fff)) ? IP : UNREADABLE;
	}
	p->ipv6 = 1;
	p->l4 = ETHERNET + 40;
	if (protocol != BE16(0x86dd) || load_bytes(skb, ETHERNET + 6, &p->c.protocol, 1) ||
	    load_bytes(skb, ETHERNET + (outgoing ? 24 : 8), &p->c.remote, 16))
		return UNREADABLE;
	/* Multicast: who is on the network. Its hop-by-hop header is that of a membership report. */
	if (p->c.protocol == 0 && p->c.remote[0] == 0xff)
		return NEIGHBOUR;
	switch (p->c.protocol) { /* what comes after an extension header would be a conversation without ports: RFC 8200, section 4; RFC 4302; RFC 6275 */
	case 0:
	case 43:
	case 44:
	case 51:
	case 60:
	case 135:
		return UNREADABLE;
	}
	return IP;
}

INLINE enum kind parse(struct __sk_buff *skb, bool outgoing, struct packet *p)
{
	enum kind kind = parse_ip(skb, outgoing, p);
	if (kind != IP)
		return kind;
	u16 ports[2];
	switch (p->c.protocol) {
	case PROTO_TCP:
		if (load_bytes(skb, p->l4 + 13, &p->flags, 1))
			return UNREADABLE;
		/* fall through */
	case PROTO_UDP:
		if (load_bytes(skb, p->l4, ports, 4))
			return UNREADABLE;
		p->c.remote_port = swap16(ports[outgoing ? 1 : 0]);
		p->c.port = swap16(ports[outgoing ? 0 : 1]);
		break;
	case PROTO_ICMP:
	case PROTO_ICMPV6:
		if (load_bytes(skb, p->l4, &p->icmp_type, 1))
			return UNREADABLE;
		/* Router and neighbour discovery, without which there is no IPv6. */
		if (p->c.protocol == PROTO_ICMPV6 && p->icmp_type >= 133 && p->icmp_type <= 136)
			return NEIGHBOUR;
	}
	return IP;
}

/* begins reports whether a packet to the container begins a conversation. The answers to its own ICMP do not. */
INLINE bool begins(struct packet *p)
{
	switch (p->c.protocol) {
	case PROTO_TCP:
		return (p->flags & (SYN | ACK | RST | FIN)) == SYN;
	case PROTO_ICMP:
		return p->icmp_type == 8;
	case PROTO_ICMPV6:
		return p->icmp_type == 128;
	}
	return 1;
}

/* to_container notes who began a conversation. Packets of TCP connections that the container began end here, as an attacker at their
 * other end could still give orders; but resets pass, and errors. */
SEC("tc")
int to_container(struct __sk_buff *skb)
{
	struct packet p = {};
	u8 yes = 1;
	if (parse(skb, 0, &p) != IP)
		return TC_NEXT;
	if (begins(&p)) {
		map_update(&conversations, &p.c, &yes, 0);
		return TC_NEXT;
	}
	if (p.c.protocol != PROTO_TCP || p.flags & RST || map_lookup(&conversations, &p.c))
		return TC_NEXT;
	return TC_DROP;
}

/* refuse makes the answer of a closed port of a connection attempt, so that the container does not wait for one. */
INLINE int refuse(struct __sk_buff *skb, struct packet *p)
{
	u8 mac[12], swapped[12], addresses[32] = {};
	u32 at = p->l3 + (p->ipv6 ? 8 : 12);
	u16 ports[2], flags, reset;
	u32 numbers[2], answer[2];
	if (load_bytes(skb, 0, mac, 12) || load_bytes(skb, p->l4, ports, 4) || load_bytes(skb, p->l4 + 4, numbers, 8) ||
	    load_bytes(skb, p->l4 + 12, &flags, 2))
		return TC_DROP;
	if (p->ipv6 ? load_bytes(skb, at, addresses, 32) : load_bytes(skb, at, addresses, 8))
		return TC_DROP;
	__builtin_memcpy(swapped, mac + 6, 6);
	__builtin_memcpy(swapped + 6, mac, 6);
	answer[0] = 0;
	answer[1] = swap32(swap32(numbers[0]) + 1);
	reset = (flags & BE16(0xf000)) | BE16(RST | ACK);
	/* Where addresses and ports only change places, the checksums stay right. */
	store_bytes(skb, 0, swapped, 12, 0);
	if (p->ipv6) {
		store_bytes(skb, at, addresses + 16, 16, 0);
		store_bytes(skb, at + 16, addresses, 16, 0);
	} else {
		store_bytes(skb, at, addresses + 4, 4, 0);
		store_bytes(skb, at + 4, addresses, 4, 0);
	}
	store_bytes(skb, p->l4, &ports[1], 2, 0);
	store_bytes(skb, p->l4 + 2, &ports[0], 2, 0);
	replace_checksum(skb, p->l4 + 16, numbers[0], answer[0], 4);
	replace_checksum(skb, p->l4 + 16, numbers[1], answer[1], 4);
	replace_checksum(skb, p->l4 + 16, flags, reset, 2);
	store_bytes(skb, p->l4 + 4, answer, 8, 0);
	store_bytes(skb, p->l4 + 12, &reset, 2, 0);
	return redirect(skb->ifindex, 0);
}

SEC("tc")
int from_container(struct __sk_buff *skb)
{
	struct packet p = {};
	enum kind kind = parse(skb, 1, &p);
	if (kind == NEIGHBOUR || (kind == IP && map_lookup(&conversations, &p.c)))
		return TC_NEXT;
	if (kind == IP && p.c.protocol == PROTO_TCP && (p.flags & (SYN | ACK | RST | FIN)) == SYN)
		return refuse(skb, &p);
	return TC_DROP;
}
