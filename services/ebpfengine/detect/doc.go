// Package detect finds scans and floods in the windows and samples that the kernel
// program makes of traffic (package bpf/traffic), and returns them as detections. It is
// pure Go and has no clock: time is the time of the windows, so a capture gives the same
// detections as the live interface did. Memory and output are bounded for any input.
//
// # Names
//
// A [Detection] has one of these names. The actor is the address that attacks, or
// [Spoofed] where the sources are forged or misused, or [Distributed] where there are many
// and none stands out. A scan by three addresses of an IPv6 /64 or an IPv4 /24, or more, of
// which none is one by itself, has that network as its actor. Only an address may be blocked.
//
//	name               what                                        actor                 target
//	port_scan          one source tries many ports of one host     address or network    ip
//	host_scan          one source tries one port, or ping, on      address or network    ip of one host, port
//	                   many hosts
//	block_scan         several ports on many hosts, or many ports  address or network    ip of one host
//	                   on several
//	slow_scan          any of the three, at less than one probe    address or network    ip of one host, port if one
//	                   in [Config.SlowGapSecs]
//	syn_flood          many half-open connections at a host        address or a word     ip, port
//	udp_flood          UDP that answers nothing, or one source's   address or a word     ip, port if one
//	                   queries to DNS and similar services
//	icmp_flood         the same of ICMP and ICMPv6                 address or a word     ip
//	fragment_flood     the same of IP fragments                    address or a word     ip
//	tcp_flood          TCP without a connection: ACK, RST,         address or a word     ip, port if one
//	                   invalid flags
//	ip_flood           another IP protocol, such as GRE, to a      address or a word     ip
//	                   host that sent none to the sources
//	reflection         servers answer requests that the host did   spoofed               ip
//	                   not send
//	connection_flood   one source opens connections too fast       address               ip, port if one
//	                   for ten seconds
//	discovery          one source looks for devices at many        address               ip of one host, port
//	                   addresses of its network: a notice
//	peer_to_peer       one source tries another port of each of    address               ip of one host
//	                   many hosts: a notice
//
// A notice is no attack. It is one record without a phase, at most once an hour for each source, kind and method.
//
// The target of a flood is a network, the /24 or /64, if at least 8 of its addresses are hit and
// none gets most of the packets.
//
// One attack is one detection. What one address sends to many ports or hosts at the rate of a
// flood is no scan besides. UDP to many ports of a host is a scan until each port may have got
// two packets, or ten seconds have passed; then, unless the scan was told, it is a flood.
// Reflected UDP is no udp_flood, and fragments to a target of a reflection with large answers
// are no fragment_flood. Reflectors are never actors, and their packets are never probes: a source port of UDP is reflected if its packets were not requested, are large on
// average (120 bytes; 400 of services with large answers, such as DNS), and, unless the service
// is known to be misused, come from 10 servers or more. A flood that comes again within
// 5 minutes is the same attack, in pulses.
//
// # Evidence of scans
//
// A scan is many tries of one source that failed, never many contacts. The program samples
// the first packet of each source to each port, and then, at most once, its outcome.
//
//	try                        has failed
//	SYN                        refused with RST, or without a completed handshake for 1 s
//	UDP                        without a reply for 2 s; one of 1200 bytes or more is no try
//	ICMP echo, timestamp, ...  without a reply for 1 s; 40 hosts are a sweep even if they reply
//	ACK, FIN with ACK          refused with RST; or sent from one client's port to three ports
//	                           or more: else the connection may be older than the engine
//	SYN-ACK, RST               answers nothing, and goes from a client's port to a service's:
//	                           else it is the echo of an attack on another (backscatter)
//	SCTP INIT                  without a COOKIE ECHO for 1 s
//	any other                  at once: no network stack sends it
//
// With egress a handshake counts as completed only if the host sent a SYN-ACK. What is
// answered clears its own try and no other. UDP at which devices of one network discover
// each other (SSDP, mDNS, SLP, BJNP and others) is no try, nor are single ports of many
// hosts, as tried by programs that share files; if it were, and were a scan, there is a notice.
//
// direction is outbound where the actor is the watched host, or a container or machine
// behind it; the engine clears it where a router forwards packets of an actor that a default route
// leads to. Of scans, the limits are then two times the ports and three times the hosts, and two of
// three tries of the host, or of the port, must have failed: crawlers and mail servers fail, too.
//
// # Outbound floods
//
// Only SYN, UDP and ICMP requests are counted, by target: what answers others is not, nor what is answered.
//
//	packet         is no flood
//	SYN            its handshake is completed, or it is refused; from 20 times [Config.SYNFloodPPS] to
//	               one host on it is, because a service that does not answer has many clients
//	UDP            to the port of a conversation that was answered within 3 minutes, whichever side
//	               began it, up to a million packets for an answer, or if one packet comes back for
//	               a hundred
//	ICMP request   is answered
//
// Actor is [Spoofed] from 16 source addresses on.
//
// may_be_decoy says that other sources try the same ports of the same host at the same
// time, as with nmap -D: one of them is the scanner, and the addresses of the others may be
// forged. It is left out for a source that completed a handshake. Block such sources for
// minutes, not for hours.
//
// # Methods
//
// method is, for scans: syn, fin, null, xmas, ack (FIN with ACK, too), udp, icmp, fragment
// (TCP flags hidden in a later fragment, as nmap -f does), syn-ack, rst, other
// (contradictory flags), sctp-init, sctp-cookie, protocol (ports are then IP protocols). For
// reflection: the misused protocol, such as dns, ntp or memcached, udp- and the port where
// there is no name, or tcp (SYN-ACK). For tcp_flood: ack, rst, other. For
// ip_flood: the protocol, such as gre, sctp, esp, or ip- and its number. For discovery: netbios, slp, ssdp,
// ws-discovery, mdns, llmnr, mndp, bjnp, ubiquiti, dropbox, steam, spotify. Else it is empty.
//
// # Phases
//
// phase is begun in the first record of an attack, ongoing in updates (at growing
// intervals, at most [Config.RepeatSecs]), and over in the last, which has the sums of the
// whole attack.
//
// # Counts
//
// They are sums since the attack began unless noted; an unknown count is left out.
//
//	announcement         number of the record, 1 for the first
//	packets, bytes       of the attack's own traffic classes, as far as counted
//	probes               scans: packets that probe a port or host
//	ports, hosts         scans: how many different ones (an estimate above 64)
//	addresses            scans by a network: how many of its addresses were sampled
//	refused              scans: probes the host refused (RST, ICMP unreachable)
//	answered             scans: probes the host answered (SYN-ACK)
//	fragments            packets that were fragments
//	sources              floods: how many different sources (an estimate)
//	syn, syn_ack, ack    syn_flood: SYN in, SYN-ACK out, handshakes completed
//	half_open            syn_flood: SYN without a completed handshake
//	spoofed_percent      floods: percentage of traffic from forged sources (an estimate)
//	connections          connection_flood: connections opened
//	packets_per_second   floods: in the newest window, or in a burst shorter than it
//	peak_per_second      floods: the most in one window or burst
//	burst_ms             floods: length of the longest burst, if all traffic came in bursts
//	                     shorter than a window (in steps of 67 ms)
//	pulses               floods: how many pulses, if there was a pause of 3 s or more
//	bytes_per_second     floods: in the newest window
//
// # Missing evidence
//
// lacking lists what the engine could not see: "egress" (no view of outgoing packets:
// refused and answered are unknown, and scans are found by incoming packets alone), "flags"
// (hidden in fragments), "samples" (the ring lost some: ports and hosts are lower bounds),
// "memory" (state was evicted: sums are lower bounds).
package detect
