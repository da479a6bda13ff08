// Package capture reads packet captures (pcap and pcapng) and returns their packets as
// Ethernet frames in order of time. A capture is untrusted: sizes, counts and clocks in it
// may be anything, and memory is bounded for all of them.
package capture
