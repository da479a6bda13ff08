// Package capture reads packet captures (pcap and pcapng) as Ethernet frames in the order of their time, whatever the file says:
// sizes, counts and clocks in it are those of a stranger.
package capture
